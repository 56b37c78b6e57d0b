"""The report as a picture: passed beside failed of each customer, and latencies where there are any."""

from __future__ import annotations

import itertools
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def draw(document: Mapping[str, Any], title: str, file: Path) -> None:
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
    customers = document["customers"][:MOST_NAMES]
    shown = _shown([customer["customer_id"] for customer in customers])
    customers = [{**customer, "shown": name} for customer, name in zip(customers, shown, strict=True)]
    with_latency = any(customer["median_latency"] is not None for customer in customers)
    names = max((len(name) for name in shown), default=0)
    name_inches = 0.3 + names * _NAME_INCHES_PER_CHARACTER
    column_inches = name_inches + _BARS_INCHES + (_LATENCY_INCHES if with_latency else 0)
    columns = _columns(customers, column_inches)
    rows = len(columns[0])
    size = (max(len(columns) * column_inches, 6.0), _HEAD_INCHES + max(rows, 3) * _ROW_INCHES + 0.5)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    # Text stays text in an SVG, and the same report makes the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name may be in any script
        _head(figure, document, title, shown=len(customers))
        _bodies(figure, columns, name_inches, with_latency=with_latency)
        figure.savefig(file, format=file.suffix[1:].lower(), metadata=_metadata(file))


def _columns(
    customers: Sequence[Mapping[str, Any]], column_inches: float
) -> list[Sequence[Mapping[str, Any]]]:
    square = math.sqrt(len(customers) * column_inches / _ROW_INCHES)
    number = max(1, math.ceil(len(customers) / max(_FEWEST_ROWS, square)))
    rows = math.ceil(len(customers) / number)
    return [customers[begin : begin + rows] for begin in range(0, len(customers), rows or 1)] or [[]]


def _head(figure: Figure, document: Mapping[str, Any], title: str, *, shown: int) -> None:
    height = figure.get_figheight()
    total = document["total"]
    uptime = "-" if total["uptime"] is None else f"{total['uptime']:.2f} %"
    sentences = [
        f"{total['successful_requests']:,} passed, {total['failed_requests']:,} failed, uptime {uptime}"
    ]
    if shown < len(document["customers"]):
        sentences.append(f"the first {shown:,} of {len(document['customers']):,} names")
    for text, inches, font in ((title, 0.3, 13), ("; ".join(sentences), 0.52, 9)):
        figure.text(
            0.15 / figure.get_figwidth(),
            1 - inches / height,
            text,
            fontsize=font,
            color=_TEXT,
            parse_math=False,
        )


def _bodies(
    figure: Figure,
    columns: Sequence[Sequence[Mapping[str, Any]]],
    name_inches: float,
    *,
    with_latency: bool,
) -> None:
    width, height = figure.get_figwidth(), figure.get_figheight()
    everyone = [customer for column in columns for customer in column]
    most = max((max(_counts(customer)) for customer in everyone), default=0) or 1
    slowest = max((customer["p99_latency"] or 0.0 for customer in everyone), default=0.0) or 1.0
    rows = max(len(columns[0]), 1)
    column_width = width / len(columns)
    bars_width = column_width - name_inches - (_LATENCY_INCHES if with_latency else 0) - 0.25
    for place, customers in enumerate(columns):
        left = place * column_width + name_inches
        body = max(len(customers), 1) * (height - _HEAD_INCHES - 0.5) / rows
        bottom = height - _HEAD_INCHES - body
        area = (left / width, bottom / height, bars_width / width, body / height)
        bars = figure.add_axes(area)
        _bars(bars, customers, most)
        if with_latency:
            area = (
                (left + bars_width + 0.2) / width,
                bottom / height,
                (_LATENCY_INCHES - 0.3) / width,
                body / height,
            )
            _latencies(figure.add_axes(area), customers, slowest)


def _bars(axes: Axes, customers: Sequence[Mapping[str, Any]], most: int) -> None:
    places = range(len(customers))
    passed = [_counts(customer)[0] for customer in customers]
    failed = [_counts(customer)[1] for customer in customers]
    for counts, shift, colour, label in (
        (passed, -0.19, _PASSED, "passed"),
        (failed, 0.19, _FAILED, "failed"),
    ):
        # Without a customer a bar of no length gives the legend its colour.
        axes.barh([place + shift for place in places] or [0], counts or [0], 0.36, color=colour, label=label)
    for place in places:
        for count, shift in ((passed[place], -0.19), (failed[place], 0.19)):
            axes.annotate(
                f"{count:,}",
                (count, place + shift),
                xytext=(2, 0),
                textcoords="offset points",
                va="center",
                fontsize=5.5,
                color=_TEXT,
            )
    axes.set_xlim(0, most * 1.18)
    axes.xaxis.set_major_locator(_locator(integer=True))
    _style(axes, customers, names=True)


def _latencies(axes: Axes, customers: Sequence[Mapping[str, Any]], slowest: float) -> None:
    for name, colour, label in (("median_latency", _MEDIAN, "median s"), ("p99_latency", _P99, "p99 s")):
        known = [
            (place, each[name]) for place, each in enumerate(customers) if each["median_latency"] is not None
        ]
        # Where both are equal, one is seen within the other.
        shape = {"markersize": 3.5} if name == "median_latency" else {"markersize": 5.5, "mfc": "none"}
        places, values = [place for place, _ in known], [value for _, value in known]
        axes.plot(values, places, "o", color=colour, label=label, **shape)
    axes.set_xlim(0, slowest * 1.08)
    axes.xaxis.set_major_locator(_locator(integer=False))
    _style(axes, customers, names=False)


def _style(axes: Axes, customers: Sequence[Mapping[str, Any]], *, names: bool) -> None:
    axes.set_ylim(max(len(customers), 1) - 0.5, -0.5)
    labels = [customer["shown"] for customer in customers] if names else []
    axes.set_yticks(range(len(customers)), labels if names else [""] * len(customers))
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
        label.set_fontsize(7.5)
        label.set_color(_TEXT)
    axes.tick_params(axis="x", labelsize=6.5, colors=_TEXT, top=True, labeltop=True, bottom=False)
    axes.tick_params(axis="x", labelbottom=False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("right", "bottom", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(_GRID)
    # Above the first name, where it covers nothing.
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=_above(axes),
        ncols=2,
        fontsize=7,
        frameon=False,
        handlelength=1,
        columnspacing=1,
        borderaxespad=0,
    )


def _locator(*, integer: bool) -> Any:
    from matplotlib.ticker import MaxNLocator  # an extra

    return MaxNLocator(4, integer=integer)


def _above(axes: Axes) -> Any:
    from matplotlib.transforms import ScaledTranslation  # an extra

    figure = axes.get_figure()
    return axes.transAxes + ScaledTranslation(0, 0.2, figure.dpi_scale_trans)  # type: ignore[union-attr]  # it has one


def _counts(customer: Mapping[str, Any]) -> tuple[int, int]:
    return customer["successful_requests"], customer["failed_requests"]


def _shown(names: Sequence[str]) -> list[str]:
    """The names; of a long one what tells it from the others is there in any case."""
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
    """As much as is shown, with the character at that place and what follows it."""
    begin = max(0, min(place - _LONGEST_NAME // 2, len(text) - _LONGEST_NAME + 1))
    end = begin + _LONGEST_NAME - 1 - (begin > 0)
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"


def _metadata(file: Path) -> dict[str, Any]:
    return {"Date": None} if file.suffix.lower() == ".svg" else {}
