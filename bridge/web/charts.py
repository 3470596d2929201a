"""Charts as inline SVG that pygal draws and our stylesheet colours: no script, no style of its own, words for all.

pygal puts a stylesheet, a script, tooltips and its configuration into each chart (read in 3.1.3): all of that is taken
out, because nothing of it passes our Content-Security-Policy. Each chart is drawn twice, for wide and for narrow
screens, so that its letters stay readable; the stylesheet shows one of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar
from xml.etree import ElementTree

import pygal  # type: ignore[import-untyped]
from markupsafe import Markup
from pygal.style import Style  # type: ignore[import-untyped]

# pygal looks for plug-ins with maps whenever anything is imported, in a way that Python warns of since 3.10.
sys.meta_path[:] = [one for one in sys.meta_path if type(one).__name__ != "PluginImportFixer"]

SIZES = {"wide": 600, "narrow": 330}  # units, which are CSS pixels where the chart has all the room it wants
LETTERS = 12  # units
BAR = 34  # from one to the next
LABEL_ROOM = 54  # units that a label below an axis needs
LEGIBLE = {600: 54, 330: 13}  # by width: how many points or columns
SAID_ROOM, NAME_ROOM = 90, 100  # what stands behind a bar, and before it
TOO_EXACT = re.compile(r"(\d\.\d)\d+")
WHISKER = re.compile(r"M(\S+) (\S+) .* L(\S+) (\S+) M")
_STYLE = Style(label_font_size=LETTERS, major_label_font_size=LETTERS, value_font_size=LETTERS)
_NOT_OURS = ("defs", "desc", "style", "script")

Node = ElementTree.Element
Shown = TypeVar("Shown")


@dataclass(frozen=True)
class Words:
    """What a chart says to who does not see it; *name* is its id within the page."""

    name: str
    title: str
    desc: str


@dataclass(frozen=True)
class Bar:
    """One bar with its label, and what it says beside it."""

    label: str
    value: int
    said: str


@dataclass(frozen=True)
class Point:
    """A share of 0 to 100 with its interval, None where there is nothing to measure; *young*: not settled yet."""

    label: str
    value: float | None
    low: float
    high: float
    said: str
    young: bool = False


@dataclass(frozen=True)
class Column:
    """A column of parts that lie on each other, the first at the bottom."""

    label: str
    parts: Sequence[int]
    said: str


class _Quiet:
    """Writes no tooltips, which would be taken out again: they are half of what pygal writes."""

    def __getattribute__(self, name: str) -> Any:
        """Return what pygal does, which asks itself three times more for that: a third of the time of a chart."""
        if not name.startswith("__") and name != "state":
            state = object.__getattribute__(self, "__dict__").get("state")
            if state is not None and name in (drawn := state.__dict__):
                return drawn[name]
        return object.__getattribute__(self, name)

    def _tooltip_data(self, *_args: Any, **_kwargs: Any) -> None:
        pass


class _Bars(_Quiet, pygal.HorizontalBar):  # type: ignore[misc]
    pass


class _Points(_Quiet, pygal.Line):  # type: ignore[misc]
    pass


class _Columns(_Quiet, pygal.StackedBar):  # type: ignore[misc]
    pass


def bars(words: Words, shown: Sequence[Bar]) -> Markup:
    """Draw horizontal bars from the top down."""

    def draw(width: int) -> Any:
        most = max((bar.value for bar in shown), default=0) or 1
        room = 1 - SAID_ROOM / (width - NAME_ROOM)
        chart = _Bars(
            **_look(width, BAR * len(shown) + 8), range=(0, most / room), show_x_labels=False, show_y_guides=False,
            print_values=True, print_values_position="top",
        )  # fmt: skip
        chart.x_labels = [bar.label for bar in reversed(shown)]
        chart.add("", [_value(bar.value, bar.said) | {"formatter": _says(bar.said)} for bar in reversed(shown)])
        return chart

    return _both(words, draw)


def points(words: Words, shown: Sequence[Point]) -> Markup:
    """Draw shares over time, each with its interval; on narrow screens the last ones."""

    def draw(width: int) -> Any:
        some = _last(shown, width)
        chart = _Points(
            **_look(width, 210), stroke=False, dots_size=5, range=(0, 100), y_labels=[0, 25, 50, 75, 100],
            value_formatter=lambda value: f"{value:.0f}%",
        )  # fmt: skip
        _label(chart, width, [point.label for point in some])
        chart.add("", [_point(point) for point in some])
        return chart

    return _both(words, draw)


def columns(words: Words, shown: Sequence[Column]) -> Markup:
    """Draw columns over time; on narrow screens the last ones."""

    def draw(width: int) -> Any:
        some = _last(shown, width)
        most = max((sum(column.parts) for column in some), default=0)
        chart = _Columns(**_look(width, 210), y_labels=list(_steps(most)), value_formatter=lambda n: f"{n:.0f}")
        _label(chart, width, [column.label for column in some])
        for part in range(max((len(column.parts) for column in some), default=0)):
            chart.add("", [_value(column.parts[part], column.said) for column in some])
        return chart

    return _both(words, draw)


def _look(width: int, height: int) -> dict[str, Any]:
    return {
        "css": [], "js": [], "style": _STYLE, "width": width, "height": height, "margin": 4, "margin_right": 20,
        "spacing": 8, "show_legend": False, "no_prefix": True, "truncate_label": -1,
    }  # fmt: skip


def _last(shown: Sequence[Shown], width: int) -> Sequence[Shown]:
    """Return as many of the last ones as can be told apart."""
    return shown[-LEGIBLE[width] :]


def _label(chart: Any, width: int, labels: Sequence[str]) -> None:
    """Write as many labels below the axis as there is room for; the last one always."""
    chart.x_labels = labels
    every = -(-len(labels) * LABEL_ROOM // width)
    chart.x_labels_major = list(labels[::-1][:: max(1, every)])
    chart.show_minor_x_labels = False


def _steps(most: int) -> Iterator[int]:
    """Yield whole numbers for an axis from 0 to at least *most*, five at most."""
    step = next(one * 10**power for power in count() for one in (1, 2, 5) if 4 * one * 10**power >= most)
    yield from range(0, max(most, 1) + step, step)


def _value(value: int, said: str) -> dict[str, Any]:
    return {"value": value, "tooltip": said}


def _says(said: str) -> Callable[[Any], str]:
    return lambda _value: said


def _point(point: Point) -> dict[str, Any] | None:
    if point.value is None:
        return None
    kind = {"class": "dot young"} if point.young else {"class": "dot"}
    return {"value": point.value, "ci": {"low": point.low, "high": point.high}, "tooltip": point.said, "node": kind}


# ------------------------------------------------------------------ taking out what is not ours
def _both(words: Words, draw: Callable[[int], Any]) -> Markup:
    return Markup("").join(_svg(words, size, draw(width)) for size, width in SIZES.items())


def _svg(words: Words, size: str, chart: Any) -> Markup:
    root = chart.render_tree()
    root.remove(root.find("title"))
    _take_out(root)
    here = f"{words.name}-{size}"
    for place, (tag, text) in enumerate((("title", words.title), ("desc", words.desc))):
        told = ElementTree.Element(tag, {"id": f"{here}-{tag}"})
        told.text = text
        root.insert(place, told)
    ours = {"id": here, "class": f"chart {size}", "role": "img"}
    root.attrib.update(ours | {"aria-labelledby": f"{here}-title", "aria-describedby": f"{here}-desc"})
    text = ElementTree.tostring(root, encoding="unicode").replace(" reactive tooltip-trigger", "")
    return Markup(TOO_EXACT.sub(r"\1", text))  # noqa: S704  all text in it is escaped


def _take_out(node: Node) -> None:
    """Remove what our policy refuses, and draw each interval as one line."""
    for child in list(node):
        if _is_not_ours(node, child):
            node.remove(child)
            continue
        if node.get("class") == "ci" and (ends := WHISKER.match(child.get("d", ""))):
            child.set("d", f"M{ends[1]} {ends[2]} L{ends[1]} {ends[4]}")
        _take_out(child)


def _is_not_ours(parent: Node, node: Node) -> bool:
    if node.tag == "title":  # of a bar or point: what we say about it; of a label: its number again
        return parent.get("class") == "guides"
    return node.tag in _NOT_OURS or not isinstance(node.tag, str) or "tooltip-overlay" in node.get("class", "")
