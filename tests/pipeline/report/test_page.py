"""The report of a filled file: what it says, and how it reads without a mouse, a wide screen or sight."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli import main as cli
from oceanfill.pipeline.report.page import render_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_PHONE = 390  # pixels


@dataclass
class Page(HTMLParser):
    """The parts of a page."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)  # tag and what is in it

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.tags[-1][0], data.strip()))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]

    def facts(self) -> dict[str, str]:
        """Terms and what they are."""
        pairs = zip(self.texts, self.texts[1:], strict=False)
        return {one: other for (tag, one), (after, other) in pairs if (tag, after) == ("dt", "dd")}


def parse(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A filled file, with its report next to it."""
    folder = tmp_path_factory.mktemp("report")
    cloudy_dataset().drop_vars("truth").assign_attrs(title="Sea <b>& sky").to_netcdf(folder / "in.nc")
    target = folder / "filled.nc"
    words = ["fill", str(folder / "in.nc"), "-o", str(target), "--method", "linear-space-time", "--quiet"]
    assert cli.main([*words, "--report", str(folder / "filled.html")]) == 0
    return target


@pytest.fixture(scope="module")
def text(filled) -> str:
    return filled.with_suffix(".html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return parse(text)


def test_numbers_are_those_of_the_file(filled, page):
    with xr.open_dataset(filled) as held:
        attrs, source, error = held.attrs, held.sst_source.values, held.sst_error.values
    facts = page.facts()
    assert facts["RMSE"].startswith(f"{attrs['held_out_rmse']:.4g} °C, 95% interval ")
    assert facts["Within one standard error"] == f"{100 * attrs['held_out_coverage_1sigma']:.1f}%"
    assert facts["Files"] == "in.nc"
    assert facts["Delivered"].startswith("linear-space-time")
    assert facts["Dates"] == "24, 2020-01-01 to 2020-01-24"
    cells = [what for tag, what in page.texts if tag in ("td", "th")]
    assert cells[cells.index("observed") + 1] == f"{(source == 1).sum():,}"
    classes = json.loads(attrs["score_classes"])["scores"]
    assert len(classes) > 5
    for one in classes:
        assert f"{one['rmse']:.4g}" in cells
    rms = np.sqrt(np.nanmean(error.astype(float) ** 2, axis=(1, 2)))
    worst = f"Maps of 2020-01-{rms.argmax() + 1:02d}: the largest standard error"
    assert worst in [what for tag, what in page.texts if tag == "h2"]
    assert any(f"error is {rms.max():.4g} °C" in what for _, what in page.texts)
    assert any(what.startswith("oceanfill fill") for tag, what in page.texts if tag == "code")


def test_page_needs_nothing_but_itself(page, text):
    for name in ("src", "href", "data", "action", "poster", "srcset"):
        for _, attrs in page.tags:
            assert re.match(r"data:|#", attrs.get(name) or "#")
    assert not page.all("script")
    assert "@import" not in text
    assert "url(" not in text


def test_page_reads_without_sight_or_mouse(page):
    assert page.all("html") == [{"lang": "en"}]
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.tags}
    assert len(page.all("h1")) == 1
    images = page.all("img")
    assert len(images) >= 10
    for image in images:
        assert re.search(r"\d", image["alt"])
        assert len(image["alt"]) > 40
        assert base64.b64decode(image["src"].split(",")[1])[1:4] == b"PNG"
    assert {attrs.get("scope") for attrs in page.all("th")} == {"row", "col"}
    assert len(page.all("caption")) == len(page.all("table")) >= 2
    names = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(set(names)) == len(names)
    targets = {attrs["href"][1:] for attrs in page.all("a")}
    assert targets <= set(names)
    assert len(targets) > 6


def test_text_of_a_file_is_no_markup(page, text):
    assert ("h1", "Sea <b>& sky, gaps filled") in page.texts
    assert "<b>" not in text


def test_a_file_of_another_is_refused(filled, capsys):
    assert cli.main(["report", str(filled.parent / "in.nc"), "-o", str(filled.parent / "no.html")]) == 2
    assert "is not a field that `oceanfill fill` wrote" in " ".join(capsys.readouterr().err.split())
    assert cli.main(["report", str(filled)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main(["report", str(filled), "-o", "page.pdf"]) == 2
    assert "name it .html" in capsys.readouterr().err


def test_a_file_without_score_says_so(filled, tmp_path):
    """Neither a score, nor an error, nor more than one date."""
    with xr.open_dataset(filled) as held:
        bare = held.isel(time=slice(0, 1)).load()
    bare.attrs = {"title": "bare"}
    bare["sst_error"][:] = np.nan
    bare.to_netcdf(tmp_path / "bare.nc")
    made = parse(render_report(tmp_path / "bare.nc"))
    shown = " ".join(what for _, what in made.texts)
    assert "No values were held out" in shown
    assert "Maps of 2020-01-01" in shown
    assert "Reliability" not in shown


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_page_in_a_browser(text, tmp_path):
    """On a phone: every picture is loaded, nothing is wider than the screen, nothing is complained about."""
    probe = """
    <script>
    addEventListener("load", () => {
      const page = document.getElementById("page").contentDocument, root = page.documentElement;
      const found = {
        widths: [...page.images].map((image) => image.naturalWidth),
        least: Math.min(...[...page.images].map((image) => image.clientWidth)),
        scroll: root.scrollWidth, screen: root.clientWidth,
      };
      document.title = JSON.stringify(found);
    });
    </script>"""
    frame = f'<iframe id="page" width="{_PHONE}" height="844" style="border:0" srcdoc="{html.escape(text)}">'
    harness = tmp_path / "harness.html"
    harness.write_text(f'<!DOCTYPE html><meta charset="utf-8"><title></title>{probe}{frame}</iframe>')
    words = f"{BROWSER} --headless --no-sandbox --disable-gpu --enable-logging=stderr --dump-dom".split()
    words += [f"--user-data-dir={tmp_path / 'profile'}", harness.as_uri()]
    run = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in run.stderr
    title = re.search("<title>(.*?)</title>", run.stdout)
    assert title is not None
    found = json.loads(html.unescape(title[1]))
    assert _PHONE - 20 < found["screen"] <= _PHONE  # without the scroll bar
    assert found["scroll"] <= found["screen"]
    assert len(found["widths"]) == text.count("<img ")
    assert min(found["widths"]) > 400
    assert found["least"] > 300
