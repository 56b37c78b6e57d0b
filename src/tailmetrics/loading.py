"""Loading finished logs from a command: through the service while one runs, into the store otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tailmetrics.client import find_service, send_log
from tailmetrics.errors import LoadError, StoreBusy
from tailmetrics.service import load_files
from tailmetrics.settings import Settings
from tailmetrics.sources import LoadProgress
from tailmetrics.tailing.discovery import format_of


def check_files(files: Sequence[Path]) -> None:
    """Raise LoadError that names each file which cannot be read, before anything is loaded."""
    problems = []
    for file in files:
        if file.is_dir():
            problems.append(f"{file} is a folder, expected files: {file}/*.log")
            continue
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            problems.append(f"{file} cannot be read: {error.strerror}")
    if problems:
        raise LoadError("\n".join([*problems, "Nothing was loaded."]))


def load_file(
    settings: Settings,
    file: Path,
    on_progress: Callable[[LoadProgress], None],
    *,
    log_format: str | None = None,
    store_first: bool = False,
) -> LoadProgress:
    """Read one finished log to its end; `on_progress` is called several times a second.

    The service is asked first, or with `store_first` only when it holds the store.
    """
    url = None if store_first else find_service(settings)
    if url is None:
        try:
            return load_files(settings, [file], on_progress)
        except StoreBusy:
            url = find_service(settings)
            if url is None:
                raise
    return _through_service(settings, url, file, on_progress, log_format)


def _through_service(
    settings: Settings,
    url: str,
    file: Path,
    on_progress: Callable[[LoadProgress], None],
    log_format: str | None,
) -> LoadProgress:
    size = file.stat().st_size
    if not size:
        return LoadProgress("done")

    def on_sent(sent: int) -> None:
        on_progress(LoadProgress("running", bytes_total=size, bytes_done=sent))

    # The service sees a copy without its folder, and so cannot tell the format by LOG_FILE_PATH.
    log_format = log_format or format_of(str(file), settings.log_paths)
    loaded = send_log(settings, url, file, log_format, on_sent)["files"][0]
    return LoadProgress(
        "done",
        bytes_total=loaded["bytes"],
        bytes_done=loaded["bytes"],
        lines=loaded["lines"],
        records=loaded["records"],
        rejects=loaded["rejects"],
        blanks=loaded["blanks"],
        already_loaded=loaded["already_loaded"],
    )
