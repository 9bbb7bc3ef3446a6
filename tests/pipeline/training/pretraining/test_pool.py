"""The seas of the pool: what their files hold, and that they are made once."""

import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.training.pretraining.pool import (
    VALIDATION_SEED,
    list_seas,
    make_pool,
    make_sea,
    name_sea,
    read_sea,
)

torch.set_num_threads(1)


def draw(seed: int, family: str) -> xr.Dataset:
    """A small sea."""
    if family == "empty":
        raise InputError("nothing is observed")
    return cloudy_dataset(dates=7, rows=9, columns=11, seed=seed).rename(sst="observed")


def test_residuals_are_those_of_the_truth_in_every_gap_at_sea_and_nowhere_else():
    sea = cloudy_dataset(dates=9, rows=14, columns=18).rename(sst="observed")
    made = make_sea(sea)
    gap = np.isnan(sea["observed"].to_numpy()) & (sea["mask"].to_numpy() == 1)
    assert (np.isfinite(made["residual"]) == gap).all()
    observed = ~gap & made["sea"]
    anomaly = made["anomaly"].astype(float)
    mean, spread = 0.0, 0.0
    seen = sea["observed"].to_numpy()[observed]
    spread, mean = np.polyfit(anomaly[observed], seen, 1)  # the truth in the gaps must be in these units too
    error = np.exp(made["log_error"].astype(float))
    corrected = mean + spread * (anomaly + made["residual"] * error)
    assert np.abs(corrected - sea["truth"].to_numpy())[gap].max() < 0.02
    guessed = mean + spread * anomaly
    assert np.sqrt(np.mean((guessed - sea["truth"].to_numpy())[gap] ** 2)) > 0.1


def test_a_truth_in_logarithms_is_that_of_the_values_that_are_filled():
    sea = cloudy_dataset(dates=9, rows=14, columns=18).rename(sst="observed")
    positive = np.exp((sea[["observed", "truth"]] - 15) / 3)
    about = {"units": "mg m-3", "standard_name": "mass_concentration_of_chlorophyll_a_in_sea_water"}
    for name in positive:
        positive[name].attrs = about
    made = make_sea(positive.assign(mask=sea["mask"]))
    plain = make_sea(sea.assign({name: (sea[name] - 15) / 3 for name in ("observed", "truth")}))
    np.testing.assert_allclose(made["residual"].astype(float), plain["residual"].astype(float), atol=0.1)


def test_seas_are_made_once_and_those_that_cannot_be_filled_are_left_out(tmp_path):
    make_pool(tmp_path, ["a", "empty"], range(3), draw)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-0.npz", "a-2.npz", "empty-1.npz"]
    assert read_sea(name_sea(tmp_path, "empty", 1)) is None
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    make_pool(tmp_path, ["a", "empty"], range(5), draw)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert name_sea(tmp_path, "a", 4).exists()


def test_the_same_seed_makes_the_same_sea(tmp_path):
    for folder in ("one", "other"):
        make_pool(tmp_path / folder, ["a"], [7], draw)
    one, other = (read_sea(name_sea(tmp_path / folder, "a", 7)) for folder in ("one", "other"))
    for name, part in vars(one.known).items():
        assert torch.equal(part.nan_to_num(), vars(other.known)[name].nan_to_num())


def test_seas_for_validation_are_apart_by_their_seeds(tmp_path):
    for family, seed in (("a", 3), ("a", 12), ("b", 5), ("b", VALIDATION_SEED), ("a", VALIDATION_SEED + 1)):
        name_sea(tmp_path, family, seed).touch()
    (tmp_path / ".a-4.npz.1.part").touch()
    assert [path.stem for path in list_seas(tmp_path, validation=False)] == ["a-3", "a-12", "b-5"]
    assert [path.stem for path in list_seas(tmp_path, validation=False, most=1)] == ["a-3", "b-5"]
    assert [path.stem for path in list_seas(tmp_path, validation=True)] == ["a-1000001", "b-1000000"]


@pytest.mark.parametrize("rows", [100, 30])
def test_large_seas_are_cut(tmp_path, rows):
    def large(seed, family):
        return cloudy_dataset(dates=30, rows=rows, columns=90, seed=seed).rename(sst="observed")

    make_pool(tmp_path, ["a"], [1], large)
    shape = read_sea(name_sea(tmp_path, "a", 1)).known.anomaly.shape
    assert shape[1] == 1 or (shape[1] >= 8 and np.prod(shape) <= 50_000)
    assert max(shape[2:]) <= 64
