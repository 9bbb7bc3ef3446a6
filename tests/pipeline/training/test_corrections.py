"""Training, checkpoints and what a correction does to a guess."""

import importlib
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import cloudy_field
from oceanfill.models.head import mix_gaussians, read_gaussian
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.settings import Training
from oceanfill.pipeline.training.checkpoints import load_correction, save_checkpoint
from oceanfill.pipeline.training.corrections import apply_correction, train_correction
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.features import count_channels
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.networks import NETWORKS
from oceanfill.pipeline.training.tasks import Correction
from torch.utils.data import DataLoader

torch.set_num_threads(1)
SMALL = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4]}}


def small_data(variables=1, outputs=1, first_guess="oi", **changes):
    """A field of 6 dates and 8 x 8 cells, as often as there are variables."""
    field = replace(cloudy_field(dates=6, rows=8, columns=8), **changes)
    return GapData(
        variables * [field],
        DataSettings(first_guess=first_guess, masked_copies=1, neighbours=8),
        outputs=outputs,
    )


def load(path, data=None, **how):
    return load_correction(path, data or small_data(), Training(**how))


@pytest.fixture
def checkpoint(tmp_path):
    """A small correction of random weights, and its file."""
    torch.manual_seed(0)
    task = Correction(SMALL, window=3, learning_rate=0.01)
    for weights in task.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    save_checkpoint(task, tmp_path / "net.ckpt")
    return task.eval(), tmp_path / "net.ckpt"


def test_a_checkpoint_comes_back_bit_for_bit(checkpoint):
    task, path = checkpoint
    back = load(path)
    assert dict(back.hparams) == dict(task.hparams)
    assert (back.window, back.learning_rate, back.training) == (3, 0.01, False)
    for name, weights in task.state_dict().items():
        assert torch.equal(back.state_dict()[name], weights), name
    inputs = torch.randn(1, count_channels(3), 9, 11)
    with torch.no_grad():
        for one, other in zip(task(inputs), back(inputs), strict=True):
            assert torch.equal(one, other)
    assert [entry.name for entry in path.parent.iterdir()] == ["net.ckpt"]
    assert load(path, window=3).window == 3


def test_a_checkpoint_of_every_network_is_plain_data(tmp_path):
    for name, network in NETWORKS.items():
        save_checkpoint(Correction(network, window=3), tmp_path / name)
        content = torch.load(tmp_path / name, weights_only=True)
        assert content["hyper_parameters"]["network"] == network


def test_a_checkpoint_of_several_variables(tmp_path):
    save_checkpoint(Correction(SMALL, window=3, variables=3, outputs=2), tmp_path / "net.ckpt")
    back = load(tmp_path / "net.ckpt", small_data(3, 2))
    assert (back.variables, back.outputs) == (3, 2)
    assert back(torch.zeros(1, count_channels(3, 3), 6, 8))[0].shape == (1, 2, 6, 8)
    with pytest.raises(InputError, match="to fill 2 of 3 variables, not 1 of 3"):
        load(tmp_path / "net.ckpt", small_data(3))


def test_another_window(checkpoint):
    with pytest.raises(InputError, match=r"net.ckpt: trained on a window of 3 dates, not 5; leave window="):
        load(checkpoint[1], window=5)


def trained(data, **how):
    data.setup("fit")
    return train_correction(Correction(SMALL, window=3), data, Training(epochs=1, **how))


@pytest.mark.parametrize("how", [{}, {"saves": 2}, {"ensemble": 2}], ids=str)
def test_a_checkpoint_describes_its_data(tmp_path, how):
    """As plain data, also after it was loaded and written again."""
    log = cloudy_field(dates=6, rows=8, columns=8).source.assign_attrs(units="mg m-3")
    data = small_data(2, first_guess="none", transform="log", source=log, name="chl")
    expected = {
        "variables": ["chl", "chl"],
        "units": ["mg m-3", "mg m-3"],
        "transforms": ["log", "log"],
        "outputs": 1,
        "first_guess": "none",
        "window": 3,
    }
    data.setup("fit")
    task = train_correction(Correction(SMALL, window=3, variables=2), data, Training(epochs=1, **how))
    for name in ("first.ckpt", "second.ckpt"):
        save_checkpoint(task, tmp_path / name)
        assert torch.load(tmp_path / name, weights_only=True)["trained_on"] == expected
        task = load(tmp_path / name, data)


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        (
            {"first_guess": "none"},
            "trained with the first guess oi, not none; give first_guess='oi', or train another",
        ),
        (
            {"transform": "log"},
            "trained on values with the transform none, not log; give transform='none' (FILE:NAME:log",
        ),
        ({"variables": 2}, "trained to fill 1 of 1 variables, not 1 of 2; give the variables that it"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_checkpoint_of_other_data_is_refused(tmp_path, options, finding):
    """One of an earlier version, which does not describe its data, is not, but for their number."""
    path = tmp_path / "net.ckpt"
    save_checkpoint(trained(small_data()), path)
    with pytest.raises(InputError) as refused:
        load(path, small_data(**options))
    assert str(refused.value).startswith(f"{path}: {finding}")
    content = torch.load(path, weights_only=True)
    del content["trained_on"]
    torch.save(content, path)
    if "variables" not in options:
        assert load(path, small_data(**options)).trained_on == {}


def test_another_variable_is_warned_of_once(tmp_path, caplog):
    path = tmp_path / "net.ckpt"
    save_checkpoint(trained(small_data()), path)
    load(path, small_data())
    assert not caplog.messages
    for _ in range(2):
        load(path, small_data(name="chl"))
    assert caplog.messages == [f"{path}: trained on sst (degree_Celsius), used on chl (degree_Celsius)"]
    kelvin = cloudy_field(dates=6, rows=8, columns=8).source.assign_attrs(units="kelvin")
    load(path, small_data(source=kelvin))
    assert caplog.messages[1:] == [f"{path}: trained on sst (degree_Celsius), used on sst (kelvin)"]


def test_a_network_of_one_grid_is_refused_on_a_larger_one(tmp_path):
    network = {
        "class_path": "oceanfill.models.autoencoder.DenseAutoEncoder",
        "init_args": {"shape": [8, 7], "latent": 2},
    }
    save_checkpoint(Correction(network, window=3), tmp_path / "net.ckpt")
    with pytest.raises(InputError, match="made for grids of up to 8 x 7 cells, not 8 x 8; give a smaller"):
        load(tmp_path / "net.ckpt")


def test_a_network_of_two_variables_is_refused_for_one(tmp_path):
    save_checkpoint(Correction(SMALL, window=3, variables=2), tmp_path / "net.ckpt")
    with pytest.raises(InputError, match="trained to fill 1 of 2 variables, not 1 of 1; give the variables"):
        load(tmp_path / "net.ckpt")


@pytest.mark.parametrize(
    ("key", "change", "finding"),
    [
        ("state_dict", {}, "weights and configuration do not belong together; train another network"),
        ("hyper_parameters", {"network": SMALL, "depth": 3}, "do not belong together; train another network"),
        ("hyper_parameters", {}, "names no network; give a checkpoint of"),
        ("hyper_parameters", {"network": "oceanfill.models.unet.UNet"}, "names no network"),
        ("hyper_parameters", {"network": {"class_path": "oceanfill.models.unet.No"}}, "no attribute 'No'"),
        (
            "hyper_parameters",
            {"network": SMALL, "window": 5},
            "do not belong together; train another network",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit(checkpoint, key, change, finding):
    _, path = checkpoint
    torch.save(torch.load(path, weights_only=True) | {key: change}, path)
    with pytest.raises(InputError) as refused:
        load(path)
    assert finding in str(refused.value)


FOREIGN = {"class_path": "trap.Network", "init_args": {}}
NESTED = {
    "class_path": "oceanfill.models.unet.UNet",
    "init_args": {"widths": [{"class_path": "trap.Network"}]},
}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"network": FOREIGN}, "trap.Network"),
        ({"network": NESTED}, "trap.Network"),
        ({"network": SMALL, "_class_path": "trap.Task"}, "trap.Task"),
        ({"network": SMALL, "loss": "trap.loss"}, "trap.loss"),
        ({"network": FOREIGN, "penalties": {"trap.penalty": 1.0}}, "trap.Network and trap.penalty"),
    ],
)
def test_other_packages_are_not_imported_without_trust(tmp_path, monkeypatch, options, names):
    (tmp_path / "trap.py").write_text("import pathlib\npathlib.Path('sprung').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "hyper_parameters": options}, "net.ckpt")
    refusal = f"net.ckpt: names {names}, which is no network or loss of oceanfill's and would be imported"
    with pytest.raises(InputError, match=refusal):
        load("net.ckpt")
    assert not (tmp_path / "sprung").exists()


OWN = """
from torch import nn

class Network(nn.Module):
    def __init__(self, inputs, outputs, width=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(), nn.Conv2d(width, outputs, 1))

    def forward(self, x):
        return self.layers(x)

def absolute(mean, log_variance, truth, variance):
    return (truth - mean).abs() + log_variance.square()

def spread(network, mean, log_variance):
    return log_variance.square().mean()
"""


def test_a_network_and_losses_of_ones_own_with_trust(tmp_path, monkeypatch):
    (tmp_path / "ours.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    network = {"class_path": "ours.Network", "init_args": {"width": 5}}
    data = small_data(first_guess="none")
    data.setup("fit")
    task = Correction(network, window=3, loss="ours.absolute", penalties={"ours.spread": 0.1})
    trained = train_correction(task, data, Training(epochs=1))
    save_checkpoint(trained, tmp_path / "net.ckpt")
    with pytest.raises(InputError, match=r"names ours.Network and ours.absolute and ours.spread, which"):
        load(tmp_path / "net.ckpt", data)
    back = load(tmp_path / "net.ckpt", data, trust=True)
    inputs = torch.randn(1, count_channels(3), 4, 4)
    torch.testing.assert_close(back(inputs), trained(inputs))
    assert back.loss.__name__ == "absolute"
    (tmp_path / "ours.py").unlink()
    sys.modules.pop("ours")
    importlib.invalidate_caches()
    with pytest.raises(InputError, match=r"No module named 'ours'; check its class_path .* in PYTHONPATH"):
        load(tmp_path / "net.ckpt", data, trust=True)


class Trap:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_in_a_file_is_executed(tmp_path):
    path, sprung = tmp_path / "net.ckpt", tmp_path / "sprung"
    content = {"state_dict": {}, "hyper_parameters": {"network": SMALL, "patch": Trap(sprung)}}
    torch.save(content, path)
    with pytest.raises(InputError, match=r"net.ckpt: not a checkpoint of oceanfill"):
        load(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no weights\n", id="text"),
        pytest.param(pickle.dumps([1, 2], 2), id="pickle"),
        pytest.param(b"PK\x03\x04 and no more", id="truncated"),
    ],
)
def test_what_is_no_checkpoint(tmp_path, content):
    (tmp_path / "net.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=r"net.ckpt: not a checkpoint of oceanfill; make one with"):
        load(tmp_path / "net.ckpt")


@pytest.mark.parametrize("content", [[1, 2], {"weights": {}}, {"hyper_parameters": 3, "state_dict": {}}])
def test_tensors_that_are_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "net.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of oceanfill"):
        load(tmp_path / "net.ckpt")


def test_a_checkpoint_that_is_not_there_and_one_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"no.ckpt: no such checkpoint; check the path"):
        load(tmp_path / "no.ckpt")
    with pytest.raises(InputError, match=r"net.ckpt: cannot be written .*another folder"):
        save_checkpoint(Correction(SMALL, window=3), tmp_path / "nowhere" / "net.ckpt")
    assert not list(tmp_path.iterdir())


def test_the_correction_is_in_units_of_the_error_and_touches_only_its_dates():
    """m = 0.5 and exp(d) = 2 everywhere."""
    task = Correction(SMALL, window=3)
    with torch.no_grad():
        task.network.head.bias[:] = torch.tensor([0.5, np.log(2)])
    rng = np.random.default_rng(0)
    guess, error = rng.random((2, 6, 8, 10), np.float32)
    guess[:, :2] = error[:, :2] = np.nan  # land
    dates = DataLoader([(torch.randn(count_channels(3), 8, 10), torch.tensor(date)) for date in (1, 4)])
    ((mean, sigma),) = apply_correction(task, dates, [(guess, error)], "cpu")
    for date in range(6):
        done = date in (1, 4)
        np.testing.assert_allclose(mean[date], guess[date] + 0.5 * error[date] * done, rtol=1e-5)
        np.testing.assert_allclose(sigma[date], error[date] * (2 if done else 1), rtol=1e-5)


def test_training_learns_from_neighbours_what_pixel_means_do_not_know():
    """And gives the same weights for the same seed."""
    states = []
    for _ in range(2):
        data = GapData(
            cloudy_field(dates=12, rows=10, columns=12),
            DataSettings(masked_copies=2, first_guess="none", seed=2),
        )
        data.setup("fit")
        torch.manual_seed(0)
        network = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 8]}}
        task = train_correction(Correction(network, window=data.window), data, Training(epochs=4))
        states.append(task.state_dict())
    for name, weights in states[0].items():
        assert torch.equal(weights, states[1][name]), name
    ((mean, _),) = apply_correction(
        task, data.trial_dataloader(), [(data.trial_guess, data.trial_error)], "cpu"
    )
    scored, truth = data.test, data.field.values
    after, before = (np.sqrt(np.mean((one - truth)[scored] ** 2)) for one in (mean, data.trial_guess))
    assert after < 0.6 * before


def ensemble(changed=False, seed=2, **options):
    """Three networks of a small field, whose held-out values are ``changed``."""
    field = cloudy_field(dates=12, rows=8, columns=8)
    data = GapData(field, DataSettings(masked_copies=2, first_guess="none", seed=seed))
    if changed:
        values = np.where(data.held_out, 40 - 3 * field.values, field.values)
        data = GapData(
            replace(field, values=values), DataSettings(masked_copies=2, first_guess="none", seed=seed)
        )
    data.setup("fit")
    how = Training(epochs=1, ensemble=3, **options)
    return train_correction(Correction(SMALL, window=3), data, how).networks, data


def test_an_ensemble_is_of_other_networks_and_the_same_of_the_same_seed():
    networks, again, other = ensemble()[0], ensemble()[0], ensemble(seed=3)[0]
    assert len(networks) == 3
    first = [network.state_dict() for network in networks]
    for one, same in zip(networks, again, strict=True):
        assert all(torch.equal(one.state_dict()[name], same.state_dict()[name]) for name in first[0])
    for one in (first[1], first[2], other[0].state_dict()):
        assert any(not torch.equal(first[0][name], one[name]) for name in first[0])


def test_no_member_of_an_ensemble_has_seen_what_is_held_out():
    (one, data), (other, changed) = ensemble(), ensemble(changed=True)
    np.testing.assert_array_equal(data.held_out, changed.held_out)
    assert not np.allclose(data.field.values[data.held_out], changed.field.values[data.held_out])
    for member, same in zip(one, other, strict=True):
        for name, weights in member.state_dict().items():
            assert torch.equal(weights, same.state_dict()[name]), name


def test_an_ensemble_says_the_mixture_of_what_its_members_say():
    """By hand: variances are averaged, and that of the means is added; not the standard errors."""
    data = GapData(
        cloudy_field(dates=6, rows=8, columns=8), DataSettings(masked_copies=2, first_guess="none")
    )
    data.setup("fit")
    task = train_correction(Correction(SMALL, window=3), data, Training(epochs=1, ensemble=2))
    given = data.guess, data.error
    ((mean, error),) = apply_correction(task, data.predict_dataloader(), [given], "cpu")
    apart = []
    for network in task.networks:
        alone = Correction(SMALL, window=3)
        alone.network.load_state_dict(network.state_dict())
        apart += apply_correction(alone, data.predict_dataloader(), [given], "cpu")
    (a, of_a), (b, of_b) = apart
    sea = np.isfinite(a)
    assert np.abs(a - b)[sea].max() > 0.01
    np.testing.assert_allclose(mean[sea], ((a + b) / 2)[sea], rtol=1e-5)
    variance = (of_a**2 + of_b**2) / 2 + ((a - b) / 2) ** 2
    np.testing.assert_allclose(error[sea], np.sqrt(variance)[sea], rtol=1e-4)


def test_the_time_is_shared_by_an_ensemble(monkeypatch):
    budgets = []

    def train(task, *batches, settings, **options):
        budgets.append(settings.time_budget)
        return task.eval()

    monkeypatch.setattr("oceanfill.pipeline.training.corrections.train_task", train)
    ensemble(time_budget=6)
    assert budgets == [2, 2, 2]


def test_saves_are_the_last_epochs_together(tmp_path):
    """Of three epochs the last two, as they were, not averaged; the checkpoint holds both."""
    networks, states = [], []
    for epochs, saves in ((3, 2), (3, 1), (3, None)):
        data = GapData(
            cloudy_field(dates=6, rows=8, columns=8),
            DataSettings(masked_copies=1, first_guess="none", seed=2),
        )
        data.setup("fit")
        torch.manual_seed(0)
        networks.append(
            train_correction(Correction(SMALL, window=3), data, Training(epochs=epochs, saves=saves))
        )
        states.append(networks[-1].network.state_dict())
    both, last, averaged = states
    assert len(networks[0].network.networks) == networks[0].hparams["saves"] == 2
    for name, weights in last.items():
        assert torch.equal(both[f"networks.1.{name}"], weights), name
    assert any(not torch.equal(both[f"networks.0.{name}"], last[name]) for name in last)
    assert any(not torch.equal(averaged[name], last[name]) for name in last)
    save_checkpoint(networks[0], tmp_path / "net.ckpt")
    back, inputs = load(tmp_path / "net.ckpt", data), torch.randn(1, count_channels(3), 9, 11)
    with torch.no_grad():
        found = back(inputs)
        apart = [read_gaussian(one(inputs)) for one in networks[0].network.networks]
    mean, variance = mix_gaussians(
        torch.stack([m for m, _ in apart]), torch.stack([v for _, v in apart]).exp()
    )
    torch.testing.assert_close(found, (mean, variance.log() / 2))
