"""What a notebook imports: its examples, its signatures and what it answers to a misspelt keyword."""

from __future__ import annotations

import doctest
import inspect
import json

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main

import oceanfill

FUNCTIONS = (
    "compare",
    "derive",
    "export",
    "fill",
    "forecast",
    "info",
    "open_field",
    "plot",
    "prepare",
    "rerun",
    "score",
    "update",
    "validate",
)


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
    assert " at 0x" not in str(inspect.signature(oceanfill.fill))
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
        ("compare", "holdouts", "holdout"),
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


@pytest.fixture(scope="module")
def small() -> xr.Dataset:
    return cloudy_dataset(dates=8)[["sst", "mask"]]


def test_accessors_call_the_functions(small) -> None:
    expected = oceanfill.fill(small, variable="sst", method="linear-time")
    found = small.oceanfill.fill("sst", method="linear-time")
    xr.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())
    alone = small.sst.oceanfill.fill(method="nearest", holdout=False)
    assert int(alone.sst_source.isin([1]).sum()) == int(small.sst.notnull().sum())
    title = small.sst.oceanfill.plot(date="2020-01-03").get_suptitle()
    assert title.startswith("sst, 2020-01-03")
    rows = small.oceanfill.compare("sst", "nearest,linear-time").rows
    assert {row["method"] for row in rows} == {"nearest", "linear-time"}
    with pytest.raises(oceanfill.InputError, match=r"'epoch'; did you mean epochs\?"):
        small.oceanfill.fill("sst", epoch=1)


def test_a_lazy_dataset_comes_back_lazily_from_memory_and_from_blocks(small, tmp_path) -> None:
    how = {"method": "linear-time", "holdout": False}
    lazy = small.chunk(time=4)
    eager = oceanfill.fill(small, **how)
    found = lazy.oceanfill.fill("sst", **how)
    assert eager.sst.chunks is None
    assert found.sst.chunksizes["time"] == (4, 4)
    blocks = lazy.oceanfill.fill("sst", n_workers=1, cache=str(tmp_path / "kept.zarr"), **how)
    assert blocks.sst.chunks is not None
    for one in (found, blocks):
        for name in ("sst", "sst_source"):
            np.testing.assert_array_equal(one[name].to_numpy(), eager[name].to_numpy())


def test_the_call_is_in_the_history(small, tmp_path) -> None:
    small.to_netcdf(tmp_path / "in.nc")
    filled = oceanfill.fill(
        tmp_path / "in.nc", tmp_path / "out.nc", method="nearest", seed=3, region=(35, 36, -6, -5)
    )
    call = (
        f"oceanfill.fill('{tmp_path}/in.nc', '{tmp_path}/out.nc', method='nearest', seed=3, "
        "region=(35, 36, -6, -5))"
    )
    assert filled.attrs["history"].splitlines()[-1].endswith(f"Z: {call}")
    assert filled.attrs["call"] == call

    def ones(field: oceanfill.Field) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(field.values.shape), np.ones(field.values.shape)

    again = oceanfill.fill(small, settings=oceanfill.FillSettings(method=ones))
    assert again.attrs["call"] == "oceanfill.fill(<Dataset in memory>, method=<ones>)"


def test_a_field_has_a_short_repr_and_one_for_notebooks(small) -> None:
    field = oceanfill.open_field(small)
    missing = 100 * float(small.sst.isnull().where(small.mask == 1).mean())
    assert repr(field) == (
        "<Field sst: dates 8, 2020-01-01 to 2020-01-08; grid 20 x 24 (lat x lon); "
        f"{missing:.1f}% of the sea values missing>"
    )
    shown = field._repr_html_()
    assert "<td style='text-align:left'>degree_Celsius</td>" in shown
    assert shown.count("<tr>") == len(field.facts)


def test_a_rerun_gives_the_same_and_names_what_has_changed(small, tmp_path, capsys) -> None:
    small = small.isel(lat=slice(12), lon=slice(14))
    small.to_netcdf(tmp_path / "in.nc")
    words = ["fill", str(tmp_path / "in.nc"), "-o", str(tmp_path / "out.nc"), "--method", "oi", "--seed", "2"]
    assert main([*words, "--quiet", "--region", "35,36.5,-6,-4", "--intervals", "90"]) == 0
    capsys.readouterr()
    assert main(["rerun", str(tmp_path / "out.nc"), "--quiet"]) == 0
    assert capsys.readouterr().out.endswith(
        "the same values, to the bit (same inputs, versions and device)\n"
    )

    with netCDF4.Dataset(tmp_path / "out.nc", "a") as file:
        assert file.device == ("cuda" if torch.cuda.is_available() else "cpu")
        assert file.fitted_covariance.endswith("degree_Celsius")
        file.versions = json.dumps(json.loads(file.versions) | {"numpy": "1.0"})
        file["sst_analysis"][3, 5, 7] += 0.25
    small.assign(sst=small.sst.where(small.time > small.time[0])).to_netcdf(tmp_path / "in.nc")
    found = oceanfill.rerun(tmp_path / "out.nc", tmp_path / "again.nc")
    assert not found.same
    assert found.changes == ("in.nc has changed", f"numpy 1.0 is {np.__version__}")
    assert main(["rerun", str(tmp_path / "out.nc"), "--quiet"]) == 2
    assert "in.nc has changed" in capsys.readouterr().err
    with xr.open_dataset(tmp_path / "again.nc") as again:
        assert (again.sst_source[0] != 1).all()


def test_a_rerun_of_what_was_in_memory_or_needs_code_is_refused(small, tmp_path) -> None:
    oceanfill.fill(small, tmp_path / "memory.nc", method="nearest", holdout=False)
    with pytest.raises(
        oceanfill.InputError, match=r"from objects in memory, so repeat its call: oceanfill\.fill"
    ):
        oceanfill.rerun(tmp_path / "memory.nc")
    small.to_netcdf(tmp_path / "in.nc")
    oceanfill.fill(tmp_path / "in.nc", tmp_path / "out.nc", method="nearest", holdout=False)
    with netCDF4.Dataset(tmp_path / "out.nc", "a") as file:
        file.call = file.call.replace(")", f", save_eofs='{tmp_path}/eofs.nc', cluster='tcp://127.0.0.1:1')")
    assert oceanfill.rerun(tmp_path / "out.nc").same
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.nc", "memory.nc", "out.nc"]
    with netCDF4.Dataset(tmp_path / "out.nc", "a") as file:
        file.call = file.call.replace("'nearest'", "'os:remove'")
    with pytest.raises(oceanfill.InputError, match=r"another package \(os:remove\).*add trust=True"):
        oceanfill.rerun(tmp_path / "out.nc")


def test_the_epochs_that_were_trained_are_in_the_attributes(small) -> None:
    filled = small.oceanfill.fill("sst", method="unet", epochs=2)
    assert filled.attrs["trained_epochs"] == 2
