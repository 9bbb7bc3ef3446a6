"""From radial velocities to the current: what is trained, delivered, scored and written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from fields import eddies, seen_by_radars
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.radials import open_radials
from oceanfill.pipeline.jobs.currents import (
    CurrentCandidate,
    evaluate_currents,
    fit_factor,
    make_candidates,
    make_guess,
    mix_currents,
)
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.settings import Currents, FillSettings, Training
from oceanfill.pipeline.training.checkpoints import save_checkpoint
from oceanfill.pipeline.training.tasks import Correction
from oceanfill.pipeline.training.vector_data import (
    RadialData,
    RadialSettings,
    make_regular_grid,
    project_current,
    weigh_held_out,
)
from oceanfill.pipeline.training.vector_tasks import _DIVERGENCE, VectorCorrection

torch.set_num_threads(1)
SMALL = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 8]}}
ROWS, COLUMNS = 14, 16
SIDES = ("lower", "upper")
NAMES = {"u", "v", "u_error", "v_error", "uv_covariance"}
TRUTH = eddies(dates=12, rows=ROWS, columns=COLUMNS, seed=2)
SEEN = seen_by_radars(TRUTH)
FEW_TRUTH = eddies(dates=8, rows=8, columns=10, seed=2)
FEW = seen_by_radars(FEW_TRUTH)  # where only equality is asserted


@pytest.fixture(scope="module")
def interpolated():
    rows = []
    how = {"radial_direction": "direction", "method": "oi", "intervals": (50, 90)}
    return fill(SEEN, **how, report=rows.extend), rows


@pytest.fixture(scope="module")
def few_interpolated():
    return fill(FEW, radial_direction="direction", method="oi")


def divergence(filled):
    """Root mean square away from land, with the differences that the stream function has."""
    cos = np.cos(np.radians(filled.lat))
    slope = (filled.u.differentiate("lon") + (filled.v * cos).differentiate("lat")) / cos
    return float((slope**2).mean() ** 0.5)


def test_the_current_is_on_the_sea_with_its_names(interpolated):
    filled, rows = interpolated
    bounds = {f"{name}_{side}_{level}" for name in ("u", "v") for side in SIDES for level in (50, 90)}
    assert set(filled.data_vars) == NAMES | bounds
    assert filled.u.dims == ("time", "lat", "lon")
    sea = open_radials(SEEN, "direction").sea
    for one in filled.data_vars.values():
        np.testing.assert_array_equal(np.isfinite(one), np.broadcast_to(sea, one.shape))
    assert filled.u.standard_name == "eastward_sea_water_velocity"
    assert filled.v_error.standard_name == "northward_sea_water_velocity standard_error"
    assert filled.uv_covariance.units == "(m s-1)2"
    assert (filled.uv_covariance**2 < filled.u_error**2 * filled.v_error**2).where(sea, True).all()
    assert filled.attrs["delivered"] == rows[0]["method"] == "oi"
    assert filled.attrs["held_out_rmse"] == rows[0]["rmse"]


def test_the_current_is_that_of_the_truth(interpolated):
    filled, rows = interpolated
    off = np.stack([filled[name] - TRUTH[name] for name in ("u", "v")])
    known = np.isfinite(off[0])
    speed = np.sqrt(float((TRUTH.u**2 + TRUTH.v**2).mean()) / 2)
    assert np.sqrt((off[:, known] ** 2).mean()) < 0.35 * speed
    assert rows[0]["rmse"] < np.hypot(0.03, 0.35 * speed)  # of noisy values
    assert 0.55 < rows[0]["coverage_1sigma"] < 0.85


def test_a_stream_function_has_no_divergence(few_interpolated):
    filled = fill(FEW, radial_direction="direction", method="oi", flow="stream-function")
    assert divergence(filled) < 1e-3 * divergence(few_interpolated)


def test_a_network_is_trained_and_scored_on_hidden_components():
    rows = []
    filled = fill(SEEN, radial_direction="direction", window=3, epochs=2, report=rows.extend)
    assert [row["method"] for row in rows] == ["oi", "unet"]
    assert 0.75 < rows[1]["rmse"] / rows[0]["rmse"] < 1
    best = min(rows, key=lambda row: bool(row["choice"]) is False)
    assert filled.attrs["delivered"] == best["method"]
    assert filled.attrs["held_out_rmse"] == best["rmse"]


@pytest.fixture(scope="module")
def prepared():
    data = RadialData(open_radials(SEEN, "direction"), RadialSettings(held_out=0.2))
    data.setup("test")
    return data


def corrected(data, change):
    """The first guess, and a network that adds a ``change`` (2, time, lat, lon) to it."""
    guess = make_guess(data)
    made = [one.copy() for one in (guess.estimate, guess.trial)]
    for one in made:
        one[:2] += change
    return {"oi": guess, "unet": CurrentCandidate("unet", *made)}


def test_of_a_network_of_noise_next_to_nothing_is_delivered(prepared):
    """One standard error lets chance through now and then, with a share of a twentieth."""
    shares = []
    for seed in range(4):
        noise = np.random.default_rng(seed).normal(0, 0.1, (2, 12, ROWS, COLUMNS)).astype(np.float32)
        candidates = corrected(prepared, noise)
        found = evaluate_currents(prepared, candidates)
        shares.append(found.attributes()["correction_share"])
        assert (found.delivered is candidates["oi"]) == (shares[-1] == 0)
    assert max(shares) < 0.06
    assert np.median(shares) == 0


@pytest.mark.parametrize(("overshoots", "share"), [(1, 1), (2, 0.5)])
def test_the_share_of_a_network_that_knows_the_current(prepared, overshoots, share):
    candidates = corrected(prepared, 0)
    truth = np.stack([TRUTH.u.transpose("time", "lat", "lon"), TRUTH.v.transpose("time", "lat", "lon")])
    before, after = candidates["oi"], candidates["unet"]
    for one in (after.estimate, after.trial):
        one[:2] += overshoots * (truth - one[:2])
    found = evaluate_currents(prepared, candidates)
    assert found.delivered.name == "unet"
    assert 0.75 * share < found.share <= 1.01 * share  # a standard error less than what is best
    (own,) = found.shrinkage.shares
    expected = before.estimate[:2] + np.float32(own) * (after.estimate[:2] - before.estimate[:2])
    np.testing.assert_allclose(found.delivered.estimate[:2], expected, rtol=1e-5, atol=1e-6)
    rows = {row["method"]: row for row in found.rows}
    assert rows["unet"]["rmse"] < rows["oi"]["rmse"]


def test_a_mixed_current_is_as_unsure_as_both_and_their_difference():
    guess, network = np.array([[0, 0, 1, 2, 0.5], [2, 4, 3, 2, -0.5]], np.float32)[..., None, None, None]
    mixed = mix_currents(guess, network, 0.25)[:, 0, 0, 0]
    spread = 0.25 * 0.75
    np.testing.assert_allclose(mixed, [0.5, 1, 1.5 + 4 * spread, 2 + 16 * spread, 0.25 + 8 * spread])
    np.testing.assert_array_equal(mix_currents(guess, network, 0), guess)
    np.testing.assert_array_equal(mix_currents(guess, network, 1), network)


def test_a_checkpoint_fills_as_the_network_that_was_saved(tmp_path):
    path = str(tmp_path / "net.ckpt")
    radials = open_radials(FEW, "direction")
    made = []
    for how in (Training(window=3, epochs=1, save_checkpoint=path), Training(checkpoint=path)):
        settings = FillSettings(training=how, currents=Currents(flow="stream-function"), device="cpu")
        data = RadialData(radials, RadialSettings(), flow="stream-function")
        candidates = make_candidates(data, find_method("unet"), settings)
        assert list(candidates) == ["oi", "unet"]
        made.append(candidates)
    np.testing.assert_allclose(made[1]["unet"].estimate, made[0]["unet"].estimate, rtol=0, atol=1e-6)
    change = (made[0]["unet"].estimate - made[0]["oi"].estimate)[:2]
    assert np.nanmax(np.abs(change)) > 1e-3
    with pytest.raises(InputError, match="trained with flow='stream-function', not with flow='free'"):
        fill(FEW, radial_direction="direction", training=Training(checkpoint=path))
    save_checkpoint(Correction(SMALL, window=3), path)
    with pytest.raises(InputError, match="trained on a field, not with flow='free'"):
        fill(FEW, radial_direction="direction", training=Training(checkpoint=path))


def test_held_out_velocities_reach_neither_first_guess_nor_masked_copies():
    """Velocities that are spoilt where they are held out leave both candidates' trials as they were."""
    radials = open_radials(FEW, "direction")
    settings = FillSettings(training=Training(window=3, epochs=1), device="cpu")
    data = RadialData(radials)
    before, hidden = make_candidates(data, find_method("unet"), settings), data.held_out
    spoilt = [
        replace(one, values=np.where(hidden[:, k], one.values + 5, one.values).astype(np.float32))
        for k, one in enumerate(radials.stations)
    ]
    spoilt_data = RadialData(replace(radials, stations=tuple(spoilt)))
    after = make_candidates(spoilt_data, find_method("unet"), settings)
    for name in ("oi", "unet"):
        np.testing.assert_array_equal(after[name].trial, before[name].trial)
    assert np.nanmax(np.abs(after["oi"].estimate - before["oi"].estimate)) > 0.5


def test_without_a_hold_out_there_is_no_score_and_all_velocities_are_used(few_interpolated):
    filled = fill(FEW, radial_direction="direction", method="oi", holdout=False)
    assert filled.attrs["error_factor"] == 1
    assert not [name for name in filled.attrs if name.startswith("held_out_")]
    off = [float(((one.u - FEW_TRUTH.u) ** 2).mean() ** 0.5) for one in (filled, few_interpolated)]
    assert off[0] == pytest.approx(off[1], rel=0.1)


def test_intervals_of_the_components_hold_what_they_promise(interpolated):
    filled, _ = interpolated
    for name in ("u", "v"):
        low, high = ((filled[f"{name}_{side}_90"] - filled[name]) / filled[f"{name}_error"] for side in SIDES)
        assert float(high.mean()) == pytest.approx(-float(low.mean()), rel=1e-4)
        assert 1.3 < float(high.mean()) < 2.2  # 1.645 for a Gaussian
        narrow = (filled[f"{name}_upper_50"] - filled[name]) / filled[f"{name}_error"]
        assert 0.5 < float(narrow.mean()) < 0.9  # 0.674
        inside = (filled[f"{name}_lower_90"] <= TRUTH[name]) & (TRUTH[name] <= filled[f"{name}_upper_90"])
        assert float(inside.sum() / np.isfinite(filled[name]).sum()) > 0.85
        assert filled[f"{name}_upper_90"].attrs["units"] == "m s-1"


def task(flow, seed=0):
    radials = open_radials(SEEN, "direction")
    torch.manual_seed(seed)
    made = VectorCorrection(SMALL, 3, torch.from_numpy(radials.towards), make_regular_grid(radials), flow)
    for weights in made.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.3)
    return made


def batch(seed=0):
    draws = torch.Generator().manual_seed(seed)
    inputs = torch.randn(2, 16, ROWS, COLUMNS, generator=draws)
    inputs[:, -1] = 1
    factor = torch.rand(2, 3, ROWS, COLUMNS, generator=draws) + 0.5
    return inputs, torch.zeros(2, 2, ROWS, COLUMNS), factor


def test_the_change_of_a_stream_function_has_no_divergence():
    inputs, guess, factor = batch()
    grid = make_regular_grid(open_radials(SEEN, "direction"))
    free, curled = (task(flow)(inputs, guess, factor)[0] for flow in ("free", "stream-function"))
    assert free.abs().mean() > 0.01
    assert curled.abs().mean() > 0.01
    assert grid.compute_divergence(curled).abs().mean() < 1e-5 * grid.compute_divergence(free).abs().mean()


def test_the_divergence_that_is_left_is_paid_for():
    inputs, guess, factor = batch()
    nothing = torch.zeros_like(task("free").towards[:, :, 0]).expand(2, -1, -1, -1)
    rest = (nothing, nothing + 1, nothing)
    losses = []
    for flow in ("free", "low-divergence"):
        one = task(flow)
        one.log = lambda *named, **how: None  # no trainer asks for it
        losses.append(one.training_step((inputs, guess, factor, *rest), 0).detach())
    assert losses[0] == 0  # nothing is hidden
    left = one.grid.compute_divergence(one(inputs, guess, factor)[0].detach()) * one.grid.row_spacing
    torch.testing.assert_close(losses[1], _DIVERGENCE * left.square().mean(), rtol=1e-4, atol=0)


def test_training_on_components_lowers_the_loss_and_divergence_if_it_is_asked():
    inputs, guess, factor = batch()
    guess = 0.3 * inputs[:, :2]
    found = {}
    for flow in ("free", "low-divergence"):
        one = task(flow)
        one.log = lambda *named, **how: None
        along = torch.einsum("bsdyx,bdyx->bsyx", one.towards.expand(2, -1, -1, -1, -1), guess)
        hidden = (guess, factor, along + 0.1, torch.full_like(along, 0.1), torch.ones_like(along))
        optimiser = torch.optim.Adam(one.parameters(), lr=0.01)
        losses = []
        for _ in range(60):
            optimiser.zero_grad()
            losses.append(one.training_step((inputs, *hidden), 0))
            losses[-1].backward()
            optimiser.step()
        assert losses[-1] < losses[0] - 0.1
        found[flow] = one.grid.compute_divergence(one(inputs, guess, factor)[0].detach()).square().mean()
    assert found["low-divergence"] < 0.5 * found["free"]


def test_errors_are_scaled_so_that_held_out_values_are_likely():
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.5, 8, 40_000)
    off = rng.standard_normal(40_000) * np.sqrt(0.7**2 * variance + 1.1)
    assert fit_factor(off, variance, np.full(40_000, 1.1)) == pytest.approx(0.7, rel=0.02)


def test_held_out_velocities_weigh_as_what_is_not_seen():
    """The guess errs by 1 to 3 where velocities are hidden from it, and by 2 to 3 in the gaps."""
    radials = open_radials(SEEN, "direction")
    rng = np.random.default_rng(0)
    held = np.isfinite(radials.values) & (rng.random(radials.values.shape) < 0.2)
    error = rng.uniform([[[[1]]], [[[2]]]], 3, (2, 12, ROWS, COLUMNS))
    trial, whole = np.zeros((2, 5, 12, ROWS, COLUMNS))
    trial[2:4], whole[2:4] = error**2
    weight = weigh_held_out(radials, trial, whole, held)[held]
    of_held = np.broadcast_to(error[0][:, None], held.shape)[held]
    assert np.average(of_held, weights=weight) == pytest.approx(2.5, abs=0.05)
    assert weight[of_held < 1.99].max() < 0.1


def test_along_projects_current_and_covariance():
    radials = open_radials(SEEN, "direction")
    current = np.random.default_rng(0).random((5, *radials.shape)).astype(np.float32)
    velocity, variance = project_current(radials, current)
    h = radials.towards[1, :, 9, 7]
    u, v, uu, vv, uv = current[:, 4, 9, 7]
    assert velocity[4, 1, 9, 7] == pytest.approx(h @ [u, v], rel=1e-5)
    assert variance[4, 1, 9, 7] == pytest.approx(h @ np.array([[uu, uv], [uv, vv]]) @ h, rel=1e-5)


def test_the_command_writes_the_current(few_interpolated, tmp_path):
    FEW.to_netcdf(tmp_path / "seen.nc")
    words = ["fill", str(tmp_path / "seen.nc"), "--radial-direction", "direction", "--quiet"]
    output = ["-o", str(tmp_path / "out.nc"), "--plot", str(tmp_path / "out.png")]
    assert main([*words, "--method", "oi", *output]) == 0
    assert (tmp_path / "out.png").stat().st_size > 10_000
    with xr.open_dataset(tmp_path / "out.nc") as found:
        assert set(found.data_vars) == NAMES
        np.testing.assert_allclose(found.u, few_interpolated.u, atol=1e-5)
        assert found.attrs["Conventions"] == "CF-1.11, ACDD-1.3"
        assert "--radial-direction direction" in found.attrs["command"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cache", "kept.zarr", "--ensemble", "2"], "without these options; leave out --cache, --ensemble"),
        (["--transform", "log"], "without these options; leave out --transform"),
        (["--first-guess", "none"], "without these options; leave out --first-guess"),
        (["--method", "dineof"], "choose unet or oi"),
        (["--method", "oi", "--flow", "low-divergence"], "trains no network"),
    ],
)
def test_what_does_not_go_with_radial_velocities_is_said(tmp_path, capsys, words, says):
    SEEN.isel(time=slice(2)).to_netcdf(tmp_path / "seen.nc")
    given = ["fill", str(tmp_path / "seen.nc"), "--radial-direction", "direction", *words]
    assert main([*given, "-o", str(tmp_path / "out.nc")]) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_flow_needs_radial_velocities(capsys):
    assert main(["fill", "sample:sst_clouds.nc", "--flow", "free", "-o", "out.nc"]) == 2
    assert "give --radial-direction too" in capsys.readouterr().err
    with pytest.raises(InputError, match="no flow 'rough'"):
        fill(SEEN, radial_direction="direction", flow="rough")
