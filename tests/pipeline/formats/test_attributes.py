"""Global attributes from the command line and from YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.formats.attributes import read_attributes


def test_pairs_come_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("creator_name: B\nproduct_version: 4.1\ndate_issued: 2020-01-31\n")
    found = read_attributes(["creator_name=A = a", "project = P "], path)
    assert found == {
        "creator_name": "A = a",
        "project": "P",
        "product_version": 4.1,
        "date_issued": "2020-01-31",
    }
    assert read_attributes() == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "it holds no names and values; write one line NAME: VALUE"),
        ("a: [", "it is not YAML"),
        ("a: [1, 2]\n", r"the attribute a is \[1, 2\]; give a text or a number"),
        ("a: yes\n", "the attribute a is True; give a text or a number"),
        ("a: ''\n", "the attribute a is empty"),
        ("time_coverage_start: 2020-01-01\n", "the attribute time_coverage_start is set from the data"),
        ("1a: x\n", "the attribute '1a' is not a name"),
        (None, "cannot be read"),
    ],
)
def test_files_that_hold_no_attributes(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "a.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_attributes(path=path)


def test_a_pair_without_a_value() -> None:
    with pytest.raises(InputError, match="the attribute 'creator_name' has no value; write it as NAME=VALUE"):
        read_attributes(["creator_name"])
