"""The report as a picture: bars of passed and failed requests a customer, and dots for latencies."""

from __future__ import annotations

import itertools
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tailmetrics.cli.documents import Customer, Report
from tailmetrics.cli.text import escaped
from tailmetrics.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
MOST_NAMES = 1000  # in one picture

_FEWEST_ROWS = 50  # so many names stand in one column; more make a picture about as wide as it is high
_ROW_INCHES = 0.21
_NAME_INCHES_PER_CHARACTER = 0.075
_LONGEST_NAME = 28  # characters; of a longer one both ends are shown
_BARS_INCHES = 3.0
_LATENCY_INCHES = 1.8
_HEAD_INCHES = 1.1
_DOTS_PER_INCH = 110
_PASSED, _FAILED, _MEDIAN, _P99 = "#0072b2", "#d55e00", "#009e73", "#cc79a7"  # told apart by everyone
_GRID, _TEXT = "#d8d8d8", "#333333"

_Row = tuple[str, Customer]  # with the name that stands beside its bars


def draw(report: Report, title: str, file: Path) -> None:
    """Write a report to a PNG or SVG file, by its suffix.

    Raises SettingsError when Matplotlib is not installed, and OSError when the file cannot be written.
    """
    try:
        from matplotlib import rc_context  # an extra
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        problem = "--plot: Matplotlib is not installed; pip install 'tailmetrics[plot]'"
        raise SettingsError([problem]) from error
    customers = report.customers[:MOST_NAMES]
    names = _shown([customer.customer_id for customer in customers])
    with_latency = any(customer.median_latency is not None for customer in customers)
    name_inches = 0.3 + max(map(len, names), default=0) * _NAME_INCHES_PER_CHARACTER
    column_inches = name_inches + _BARS_INCHES + (_LATENCY_INCHES if with_latency else 0)
    columns = _columns(list(zip(names, customers, strict=True)), column_inches)
    rows = len(columns[0])
    size = (max(len(columns) * column_inches, 6.0), _HEAD_INCHES + max(rows, 3) * _ROW_INCHES + 0.5)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    if report.start or report.end:
        title += f", {report.range_text}"
    # Text stays text in an SVG, and the same report makes the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name may be in any script
        _head(figure, report, title, shown=len(customers))
        _bodies(figure, columns, name_inches, with_latency=with_latency)
        undated = {"Date": None} if file.suffix.lower() == ".svg" else {}
        figure.savefig(file, format=file.suffix[1:].lower(), metadata=undated)


def _columns(rows: Sequence[_Row], column_inches: float) -> list[Sequence[_Row]]:
    square = math.sqrt(len(rows) * column_inches / _ROW_INCHES)
    number = max(1, math.ceil(len(rows) / max(_FEWEST_ROWS, square)))
    length = math.ceil(len(rows) / number)
    return [rows[begin : begin + length] for begin in range(0, len(rows), length or 1)] or [[]]


def _head(figure: Figure, report: Report, title: str, *, shown: int) -> None:
    total = report.total
    uptime = "-" if total.uptime is None else f"{total.uptime:.2f} %"
    summary = f"{total.successful_requests:,} passed, {total.failed_requests:,} failed, uptime {uptime}"
    if shown < len(report.customers):
        summary += f"; the first {shown:,} of {len(report.customers):,} names"
    width, height = figure.get_figwidth(), figure.get_figheight()
    for text, inches, font in ((title, 0.3, 13), (summary, 0.52, 9)):
        place = (0.15 / width, 1 - inches / height)
        figure.text(*place, text, fontsize=font, color=_TEXT, parse_math=False)


def _bodies(
    figure: Figure, columns: Sequence[Sequence[_Row]], name_inches: float, *, with_latency: bool
) -> None:
    height = figure.get_figheight()
    everyone = [customer for column in columns for _, customer in column]
    most = max((max(_counts(customer)) for customer in everyone), default=0) or 1
    slowest = max((customer.p99_latency or 0.0 for customer in everyone), default=0.0) or 1.0
    column_width = figure.get_figwidth() / len(columns)
    bars_width = column_width - name_inches - (_LATENCY_INCHES if with_latency else 0) - 0.25
    for place, rows in enumerate(columns):
        left = place * column_width + name_inches
        body = max(len(rows), 1) * (height - _HEAD_INCHES - 0.5) / max(len(columns[0]), 1)
        bottom = height - _HEAD_INCHES - body
        _bars(_axes(figure, left, bottom, bars_width, body), rows, most)
        if with_latency:
            left += bars_width + 0.2
            _latencies(_axes(figure, left, bottom, _LATENCY_INCHES - 0.3, body), rows, slowest)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place that is given in inches."""
    whole_width, whole_height = figure.get_figwidth(), figure.get_figheight()
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def _bars(axes: Axes, rows: Sequence[_Row], most: int) -> None:
    counts = [_counts(customer) for _, customer in rows]
    for kind, shift, colour, label in ((0, -0.19, _PASSED, "passed"), (1, 0.19, _FAILED, "failed")):
        lengths = [count[kind] for count in counts]
        # Without a customer a bar of no length gives the legend its colour.
        places = [place + shift for place in range(len(rows))] or [0]
        bars = axes.barh(places, lengths or [0], 0.36, color=colour, label=label)
        labels = [f"{length:,}" for length in lengths] or [""]
        axes.bar_label(bars, labels, padding=2, fontsize=5.5, color=_TEXT)
    axes.set_xlim(0, most * 1.18)
    _style(axes, [name for name, _ in rows], integer=True)


def _latencies(axes: Axes, rows: Sequence[_Row], slowest: float) -> None:
    def known(latencies: Iterable[float | None]) -> tuple[list[float], list[int]]:
        pairs = [(seconds, place) for place, seconds in enumerate(latencies) if seconds is not None]
        return [seconds for seconds, _ in pairs], [place for _, place in pairs]

    # Where both are equal, one is seen within the other.
    medians = known(customer.median_latency for _, customer in rows)
    axes.plot(*medians, "o", color=_MEDIAN, label="median s", markersize=3.5)
    highest = known(customer.p99_latency for _, customer in rows)
    axes.plot(*highest, "o", color=_P99, label="p99 s", markersize=5.5, mfc="none")
    axes.set_xlim(0, slowest * 1.08)
    _style(axes, [""] * len(rows), integer=False)


def _style(axes: Axes, names: Sequence[str], *, integer: bool) -> None:
    from matplotlib.ticker import MaxNLocator  # an extra

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=integer))
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, fontsize=7.5, color=_TEXT)
    axes.tick_params(
        axis="x", labelsize=6.5, colors=_TEXT, top=True, labeltop=True, bottom=False, labelbottom=False
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["right", "bottom", "top"]].set_visible(False)
    axes.spines["left"].set_color(_GRID)
    # A fifth of an inch above the first name, where it covers nothing.
    above = 1 + 0.2 * _DOTS_PER_INCH / axes.bbox.height
    compact = {"frameon": False, "handlelength": 1, "columnspacing": 1, "borderaxespad": 0}
    axes.legend(loc="lower left", bbox_to_anchor=(0, above), ncols=2, fontsize=7, **compact)


def _counts(customer: Customer) -> tuple[int, int]:
    return customer.successful_requests, customer.failed_requests


def _shown(names: Sequence[str]) -> list[str]:
    """The names, long ones shortened so that names which differ still look different."""
    texts = [escaped(name) for name in names]
    shortened = [_shortened(text) for text in texts]
    alike = Counter(shortened)
    equal = sorted(text for text, label in zip(texts, shortened, strict=True) if alike[label] > 1)
    # In order, a name has most of its beginning in common with one of its neighbours.
    differs_at = dict.fromkeys(equal, 0)
    for one, other in itertools.pairwise(equal):
        pairs = enumerate(zip(one, other, strict=False))
        common = next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
        differs_at[one] = max(differs_at[one], common)
        differs_at[other] = max(differs_at[other], common)
    return [
        _part(text, differs_at[text]) if text in differs_at else label
        for text, label in zip(texts, shortened, strict=True)
    ]


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_NAME:
        return text
    half = _LONGEST_NAME // 2
    return f"{text[:half]}…{text[-half + 1 :]}"


def _part(text: str, place: int) -> str:
    """The part of a name around the character at `place`, as long as a label may be."""
    begin = max(0, min(place - _LONGEST_NAME // 2, len(text) - _LONGEST_NAME + 1))
    end = begin + _LONGEST_NAME - 1 - (begin > 0)
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"
