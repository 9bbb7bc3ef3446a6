"""The pretrained network in a fill: any variables, grids and dates, blocks, and further training."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.compare import usual_methods
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.jobs.methods import find_method, find_method_for, settle_method
from oceanfill.pipeline.settings import Currents, FillSettings, Training
from oceanfill.pipeline.training.checkpoints import load_general, save_checkpoint
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.tasks import Correction

torch.set_num_threads(1)
TINY = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 6], "fold": 2}}
ABOUT = {"variables": ["anomaly"], "units": [""], "transforms": ["none"], "first_guess": "oi"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A general network that corrects by something, though by nothing that it has learned."""
    torch.manual_seed(0)
    task = Correction(TINY)
    torch.nn.init.normal_(task.networks[0].head.weight, std=0.1)
    task.trained_on = ABOUT | {"static": "scales"}
    path = str(tmp_path_factory.mktemp("networks") / "general.ckpt")
    save_checkpoint(task, path)
    return path


def candidates(field, checkpoint: str, **training) -> dict:
    """The candidates of one variable."""
    how = FillSettings(training=Training(checkpoint=checkpoint, **training))
    (made,) = find_method("pretrained")(GapData(field, DataSettings(neighbours=16)), how)
    return made


def correction(made: dict) -> np.ndarray:
    return made["pretrained"].estimate[0] - made["oi"].estimate[0]


def test_units_and_size_of_the_values_do_not_matter(checkpoint) -> None:
    dataset = cloudy_dataset(dates=8, rows=11, columns=13)
    kelvin = dataset.assign(sst=(10 * dataset["sst"] - 40).astype(np.float32))
    one, other = (candidates(open_field(each, variable="sst"), checkpoint) for each in (dataset, kelvin))
    change = correction(one)
    assert np.nanstd(change) > 0.01
    off = np.nanmax(np.abs(correction(other) / 10 - change))
    assert off < 0.05 * np.nanstd(change)  # the fit of the scales enlarges rounding errors


def test_each_variable_is_corrected_on_its_own(checkpoint, caplog) -> None:
    dataset = cloudy_dataset(dates=8, rows=11, columns=13)
    more = cloudy_dataset(dates=8, rows=11, columns=13, seed=4)["sst"]
    fields = [
        open_field(dataset, variable="sst"),
        open_field(dataset.assign(sst=more), variable="sst", transform="log"),
    ]
    data = GapData(fields, DataSettings(neighbours=16, held_out=0.0), outputs=2)
    how = FillSettings(training=Training(checkpoint=checkpoint))
    caplog.set_level(logging.WARNING)
    both = find_method("pretrained")(data, how)
    assert [list(one) for one in both] == [["oi", "pretrained"]] * 2
    for field, made in zip(fields, both, strict=True):
        alone = GapData(field, DataSettings(neighbours=16, held_out=0.0))
        (expected,) = find_method("pretrained")(alone, how)
        np.testing.assert_array_equal(made["pretrained"].estimate[0], expected["pretrained"].estimate[0])
    assert not caplog.text


@pytest.mark.parametrize(
    ("dates", "rows", "columns"), [([0, 1, 2, 3], 7, 5), ([0, 1, 3, 9, 10], 9, 9), ([0], 14, 15)]
)
def test_small_grids_single_maps_and_uneven_dates_are_filled(checkpoint, dates, rows, columns) -> None:
    dataset = cloudy_dataset(dates=11, rows=rows, columns=columns).isel(time=dates)
    field = open_field(dataset, variable="sst", time_step="none")
    made = candidates(field, checkpoint)
    change = correction(made)[:, field.sea]
    assert np.isfinite(change).all()
    assert np.abs(change).max() > 0
    assert made["pretrained"].corrects is made["oi"]  # a choice between both needs it


def test_a_date_far_away_is_not_in_the_window() -> None:
    field = open_field(cloudy_dataset(dates=6, rows=9, columns=9), variable="sst")
    (alone,) = GapData(field, DataSettings(neighbours=16, held_out=0.0, window=3)).take_apart()
    near = [inputs[0] for inputs, _ in alone.predict_dataloader()]
    field.days[3:] += 100
    far = [inputs[0] for inputs, _ in alone.predict_dataloader()]
    before, itself, after = 0, 1, 2
    assert near[2][after].any()
    assert not far[2][after].any()
    assert torch.equal(far[2][[before, itself]], near[2][[before, itself]])
    assert not far[3][before].any()
    assert far[3][after].any()


@pytest.mark.slow  # a store is prepared and filled
def test_blocks_are_corrected_as_the_whole_is(checkpoint, tmp_path) -> None:
    dataset = cloudy_dataset(dates=12, rows=20, columns=22).drop_vars("truth")
    dataset.to_netcdf(tmp_path / "in.nc")
    how = {"method": "pretrained", "checkpoint": checkpoint, "holdout": False}
    whole = fill(tmp_path / "in.nc", **how)
    parts = fill(tmp_path / "in.nc", cache=str(tmp_path / "cache.zarr"), **how)
    assert whole.attrs["delivered"] == parts.attrs["delivered"] == "pretrained"
    off = np.abs(parts["sst_analysis"] - whole["sst_analysis"]).max()
    assert off < 0.01 * whole["sst"].std()


@pytest.mark.slow  # a network is trained
def test_further_training_is_a_candidate_that_is_saved(checkpoint, tmp_path) -> None:
    dataset = cloudy_dataset(dates=9, rows=10, columns=10)
    rows: list[dict] = []
    path = str(tmp_path / "tuned.ckpt")
    fill(
        dataset, variable="sst", method="pretrained", finetune=0.05, save_checkpoint=path, report=rows.extend
    )
    assert [row["method"] for row in rows] == ["oi", "pretrained", "finetuned"]
    assert load_general(path).trained_on["finetuned"] is True
    made = candidates(open_field(dataset, variable="sst"), path)
    assert list(made) == ["oi", "pretrained", "finetuned"]
    assert {one.method for one in made.values()} == {"oi", "pretrained"}


@pytest.mark.slow  # a network is trained
def test_without_optimal_interpolation_a_network_is_trained_and_said_to_be(caplog) -> None:
    dataset = cloudy_dataset(dates=6, rows=8, columns=8)
    caplog.set_level(logging.INFO)
    filled = fill(dataset, variable="sst", method="pretrained", first_guess="none")
    assert filled.attrs["delivered"] in ("unet", "pixel-means")
    assert "a U-Net is trained instead" in caplog.text


def test_a_network_of_one_field_is_no_general_one(tmp_path) -> None:
    path = str(tmp_path / "own.ckpt")
    save_checkpoint(Correction(TINY), path)
    with pytest.raises(InputError, match="trained on one field, not on many seas"):
        fill(cloudy_dataset(dates=5, rows=8, columns=8), variable="sst", method="pretrained", checkpoint=path)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (FillSettings(), None),
        (FillSettings(training=Training(finetune=1.0)), None),
        (FillSettings(training=Training(epochs=3)), "unet"),
        (FillSettings(training=Training(checkpoint="some.ckpt")), "unet"),
        (FillSettings(method="oi"), "oi"),
        (FillSettings(method="pretrained", currents=Currents(radial_direction="angle")), "unet"),
        (FillSettings(method="oi", currents=Currents(radial_direction="angle")), "oi"),
    ],
)
def test_the_method_that_trains_is_taken_where_it_is_asked_for(settings, name) -> None:
    assert settle_method(settings).method == name


def test_it_is_the_default_of_several_dates_and_compared() -> None:
    assert find_method(None).name == find_method_for(2, None).name == "pretrained"
    assert find_method_for(1, None).name == "oi"
    assert find_method_for(1, "pretrained").name == "pretrained"
    assert "pretrained" in usual_methods()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"method": "pretrained", "epochs": 2}, "was trained before .* leave out epochs="),
        ({"method": "oi", "finetune": 1.0}, "is not pretrained; leave out finetune="),
        ({"method": "pretrained", "finetune": 1.0, "checkpoint": "x.ckpt"}, "not trained further"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, why) -> None:
    with pytest.raises(InputError, match=why):
        fill(cloudy_dataset(dates=5, rows=8, columns=8), variable="sst", **options)


def test_a_dataset_of_two_variables_has_both(checkpoint) -> None:
    dataset = cloudy_dataset(dates=6, rows=9, columns=9)
    both = xr.merge([dataset, dataset["sst"].rename("other").roll(time=2, roll_coords=False)])
    both["other"].attrs["units"] = "mg m-3"
    filled = fill(both, variable="sst,other", method="pretrained", checkpoint=checkpoint, holdout=False)
    for name in ("sst", "other"):
        assert np.isfinite(filled[f"{name}_analysis"].to_numpy()[:, both["mask"].to_numpy() == 1]).all()
