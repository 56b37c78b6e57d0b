"""The command, also as `python -m tailmetrics`."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import sys

import click

from tailmetrics.cli.commands import main
from tailmetrics.cli.options import Exit
from tailmetrics.process import defer_garbage_collection, raise_open_files_limit

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def run() -> None:
    """Run the command, and end the process at once when it is over.

    All is closed and written then. To free what was imported, object by object, would take 0.3 seconds more.
    """
    # What takes time at every start and is of no use here: threads for matrices, looking for plugins.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    defer_garbage_collection()
    raise_open_files_limit()
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _end_at_once(end.code or 0)
        raise
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        command = " ".join(["tailmetrics", *sys.argv[1:2]])
        with contextlib.suppress(OSError):
            click.echo(f"{command}: the output cannot be written: {error.strerror}", err=True)
        atexit._run_exitfuncs()
        os._exit(Exit.IO)  # an ordinary end would try to write the output once more


def _end_at_once(status: int) -> None:
    """Returns only when output could not be written: an ordinary end says so."""
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # it was closed before the program began
                stream.flush()
    except OSError:
        return
    os._exit(status)


if __name__ == "__main__":
    run()
