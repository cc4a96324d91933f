"""HTML and SVG elements as strings, in which nothing from outside can be markup.

Text becomes markup in one place, `words`: made plainly visible first, then escaped. All other
functions take markup and give markup.

>>> words("<b>\\x1b[31m & more")
'&lt;b&gt;\\\\x1b[31m &amp; more'
>>> tag("line", x1=0, y1=2.5, class_="grid", stroke_width=1)
'<line x1="0" y1="2.5" class="grid" stroke-width="1"/>'
"""

import html
from collections.abc import Iterable

from broker.program.sanitise import sanitise

_VOID = frozenset({"line", "rect", "circle", "path", "polyline"})
"""Elements of SVG that we use without content."""


def words(text: str, *, max_length: int = 500) -> str:
    """Text from anywhere as markup that shows it and does nothing else."""
    return html.escape(sanitise(text, max_length=max_length), quote=True)


def tag(name: str, *content: str, **attributes: str | float) -> str:
    """An element around markup; `class_` stands for class, `stroke_width` for stroke-width."""
    written = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items())
    inside = "".join(content)
    if not inside and name in _VOID:
        return f"<{name}{written}/>"
    return f"<{name}{written}>{inside}</{name}>"


def picture(width: float, height: float, title: str, *content: str) -> str:
    """An SVG that is as wide as its place; `title` says to everybody what it shows."""
    return tag(
        "svg",
        tag("title", words(title)),
        *content,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
    )


def label(x: float, y: float, text: str, *, anchor: str = "start", class_: str = "") -> str:
    """Text in a picture."""
    return tag("text", words(text), x=x, y=y, text_anchor=anchor, class_=class_)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], *, class_: str = "") -> str:
    """A table; heads are text, cells are markup. The first cell of a row is its head."""
    head = "".join(tag("th", words(text), scope="col") for text in heads)
    lines = []
    for first, *rest in rows:
        cells = "".join(tag("td", cell) for cell in rest)
        lines.append(tag("tr", tag("th", first, scope="row"), cells))
    body = tag("table", tag("thead", tag("tr", head)), tag("tbody", *lines), class_=class_)
    return tag("div", body, class_="scroll")


def number(value: float) -> str:
    """A coordinate: hundredths are finer than any screen."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key


def _value(value: str | float) -> str:
    return html.escape(value, quote=True) if isinstance(value, str) else number(value)
