"""The logs of containers as Kubernetes' runtimes write them: `time stream tag line`.

https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md. Tags are
separated by colons; the first one is P of a part that goes on in the next line of its stream, F of what
is whole with it.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from tailmetrics.formats.wrappers.wrapper import GOES_ON, INNER, PROBLEM, STREAM, TIME, Wrapper

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
_HEAD = rf"\A({_TIME}) (stdout|stderr) ([FP])(?::[^ ]*)?(?: |\z)"
_SHAPE = re.compile(_HEAD.replace(r"\z", r"\Z"))


def unwrap(text: pl.Series) -> pl.DataFrame:
    head = text.str.extract_groups(_HEAD).struct.unnest()
    fits = head["2"].is_not_null()
    return pl.select(
        pl.when(fits).then(pl.lit(text).str.replace(_HEAD, "")).alias(INNER),
        pl.lit(None, pl.String()).alias(PROBLEM),
        head["2"].alias(STREAM),
        (head["3"] == "P").fill_null(value=False).alias(GOES_ON),
        head["1"].alias(TIME),
    )


CRI: Final = Wrapper(
    name="cri",
    expected="time, stdout or stderr, F or P and the line, as Kubernetes' runtimes write them (CRI)",
    wraps=lambda line: _SHAPE.match(line) is not None,
    unwrap=unwrap,
    may_have_parts=lambda data: b" stdout P" in data or b" stderr P" in data,
)
