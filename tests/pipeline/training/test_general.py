"""The network that ships: it loads, it is what it was, and a network of another kind is refused."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.training.checkpoints import load_general, read_checkpoint, save_checkpoint
from oceanfill.pipeline.training.tasks import Correction

torch.set_num_threads(1)
WEIGHTS = files("oceanfill.models") / "weights" / "general-2.ckpt"
PINNED = {
    "general-1.ckpt": [0.08745, -0.37491, -0.16705, -0.2741, -0.19638, -0.17806],
    "general-2.ckpt": [0.04841, -0.35353, -0.15308, -0.18766, -0.20494, -0.19542],
}


def make_inputs(rows: int = 24, columns: int = 20, window: int = 5) -> torch.Tensor:
    """A plane wave under an error that grows to one side: the inputs of one date."""
    y, x = np.mgrid[:rows, :columns]
    dates = np.arange(window)[:, None, None]
    anomaly = np.sin(0.4 * x + 0.25 * y + 0.5 * dates)
    log_error = np.broadcast_to(-2.0 + 1.5 * x / columns, anomaly.shape)
    numbers = np.broadcast_to(np.array([0.3, 0.8, 0.1, -0.4])[:, None, None], (4, rows, columns))
    sea = np.ones((1, rows, columns))
    stacked = np.concatenate([anomaly, log_error, numbers[:2], sea, numbers[2:]])
    return torch.from_numpy(stacked.astype(np.float32))[None]


def test_it_is_small_and_of_plain_data() -> None:
    kept = read_checkpoint(str(WEIGHTS))
    assert kept.is_general
    assert sum(part.numel() for part in kept.state.values()) in range(200_000, 2_000_000)
    assert len(WEIGHTS.read_bytes()) < 8e6
    assert kept.trained_on["first_guess"] == "oi"


@pytest.mark.parametrize("name", PINNED)
def test_predictions_of_all_that_shipped_are_what_they_were(name: str) -> None:
    with torch.no_grad():
        mean, log_error = load_general(str(WEIGHTS.with_name(name)))(make_inputs())
    found = [float(part[0, 0, y, x]) for part in (mean, log_error) for y, x in ((3, 4), (12, 10), (20, 17))]
    assert found == pytest.approx(PINNED[name], abs=2e-4)


def test_the_last_one_is_the_default() -> None:
    for name, weights in load_general().state_dict().items():
        assert torch.equal(weights, load_general(str(WEIGHTS)).state_dict()[name])


def test_a_sea_upside_down_is_corrected_upside_down() -> None:
    task, seen = load_general(), make_inputs()
    turned = seen.clone()
    turned[:, :5] *= -1
    with torch.no_grad():
        one, other = task(seen)[0], task(turned)[0]
    assert float(one.std()) > 0
    assert float((one + other).std()) < 0.6 * float(one.std())


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 3), (17, 21), (64, 65)])
def test_any_grid_is_taken(rows: int, columns: int) -> None:
    with torch.no_grad():
        mean, log_error = load_general()(make_inputs(rows, columns))
    assert mean.shape == log_error.shape == (1, 1, rows, columns)
    assert torch.isfinite(mean).all()
    assert float(mean.abs().max()) < 5


def test_other_shapes_and_options_are_refused(tmp_path) -> None:
    path = str(tmp_path / "net.ckpt")
    save_checkpoint(load_general(), path)
    content = torch.load(path, weights_only=True)
    for change, why in (
        ({"trained_on": content["trained_on"] | {"static": "everything"}}, "static is everything"),
        ({"trained_on": {}}, "trained on one field"),
        ({"hyper_parameters": content["hyper_parameters"] | {"window": 3}}, "do not belong together"),
    ):
        torch.save(content | change, path)
        with pytest.raises(InputError, match=why):
            load_general(path)


def test_an_ordinary_network_is_no_general_one(tmp_path) -> None:
    path = str(tmp_path / "net.ckpt")
    save_checkpoint(Correction(), path)
    assert not read_checkpoint(path).is_general
