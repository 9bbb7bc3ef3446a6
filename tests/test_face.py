"""What a notebook imports: its examples, its signatures and what it answers to a misspelt keyword."""

from __future__ import annotations

import doctest
import inspect

import pytest
import xarray as xr
from fields import cloudy_dataset

import oceanfill

FUNCTIONS = ("compare", "fill", "info", "open_field", "plot", "prepare", "score")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_examples_of_the_documentation(name: str) -> None:
    (example,) = doctest.DocTestFinder().find(getattr(oceanfill, name), name)
    assert example.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_have_the_sections_of_numpydoc(name: str) -> None:
    text = inspect.getdoc(getattr(oceanfill, name)) or ""
    assert [text.count(f"\n{part}\n{'-' * len(part)}\n") for part in ("Parameters", "Returns", "Raises")] == [
        1,
        1,
        1,
    ]


def test_the_keywords_are_in_the_signature_with_their_defaults() -> None:
    shown = inspect.signature(oceanfill.fill).parameters
    assert {"variable", "region", "method", "epochs", "memory", "pack"} <= set(shown)
    assert shown["minimum_coverage"].default == 0.05
    assert shown["n_workers"].default == 1
    assert not any(one.kind is one.VAR_KEYWORD for one in shown.values())
    assert inspect.signature(oceanfill.compare).parameters["holdout"].default == "clouds"
    assert len(str(inspect.signature(oceanfill.score))) < 300


@pytest.mark.parametrize(
    ("name", "keyword", "nearest"),
    [
        ("fill", "epoch", "epochs"),
        ("fill", "overwite", "overwrite"),
        ("compare", "regoin", "region"),
        ("compare", "hold_out", "holdout"),
        ("info", "varible", "variable"),
        ("plot", "dates", "date"),
        ("prepare", "skip", "skip_bad"),
        ("open_field", "periods", "period"),
    ],
)
def test_a_misspelt_keyword_is_answered_with_the_nearest(name: str, keyword: str, nearest: str) -> None:
    with pytest.raises(oceanfill.InputError, match=rf"no option '{keyword}'; did you mean {nearest}\?"):
        getattr(oceanfill, name)("absent.nc", **{keyword: 1})


def test_a_dictionary_for_a_part_of_the_settings() -> None:
    with pytest.raises(oceanfill.InputError, match=r"training= takes a Training; .* as window="):
        oceanfill.fill("absent.nc", training={"epochs": 1})


def test_a_dataset_in_memory_is_scored_and_drawn_as_its_file(tmp_path) -> None:
    data = cloudy_dataset(dates=5)
    path = tmp_path / "filled.nc"
    filled = oceanfill.fill(data[["sst", "mask"]], path, method="linear-time", holdout=False)
    truth = data[["truth"]].rename(truth="sst")
    truth.to_netcdf(tmp_path / "truth.nc")
    (row,) = oceanfill.score(filled, truth)
    (same,) = oceanfill.score(path, tmp_path / "truth.nc")
    assert row["rmse"] == pytest.approx(same["rmse"], rel=1e-5)
    assert 0.02 < row["rmse"] < 3
    with xr.open_dataset(path, chunks={}) as lazy:
        figure = oceanfill.plot(lazy, date="2020-01-02")
        assert figure is not None
        assert "2020-01-02" in figure.get_suptitle()
        assert lazy.sst.chunks is not None  # the caller's dataset stays lazy
