"""What a page is made of, and how numbers and pictures are written on it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

_RESOLUTION = 150  # dots per inch: sharp enough, and small in the file


@dataclass(frozen=True)
class Picture:
    """A picture, embedded in the page."""

    uri: str
    alt: str  # what it shows, for those who do not see it
    caption: str
    width: int  # pixels
    height: int


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A section of the page; what is empty is left out."""

    heading: str
    text: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()  # terms and what they are
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    code: Sequence[tuple[str, str]] = ()  # captions and text to copy

    @property
    def anchor(self) -> str:
        """The name by which the page's links find it."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.heading.lower()).split())


def embed_figure(figure: Figure, alt: str, caption: str) -> Picture:
    """Return a figure as a picture that needs no file next to the page."""
    with io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=_RESOLUTION)
        content = buffer.getvalue()
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # PNG's header
    uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return Picture(uri, alt, caption, width, height)


def format_time(date: Any) -> str:
    """Return a date to the minute, without the time of day at midnight."""
    return str(date)[:16].replace("T", " ").removesuffix(" 00:00")


def format_number(value: Any) -> str:
    """Return a number with four digits, in plain notation where that is short."""
    return f"{float(value):.4g}"


def format_share(value: Any) -> str:
    """Return a share as a percentage."""
    return f"{100 * float(value):.1f}%"
