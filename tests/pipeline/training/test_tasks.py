"""The correction: its loss, its score on held-out values, its learning rate, its patches."""

from datetime import timedelta

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from oceanfill.models.unet import UNet
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.training.features import count_channels, find_sea_channel
from oceanfill.pipeline.training.networks import NETWORKS, build_network, has_fixed_grid
from oceanfill.pipeline.training.tasks import Correction, group_weights
from pytorch_lightning.callbacks import Callback, Timer
from torch import nn
from torch.distributions import Normal
from torch.utils.data import DataLoader

torch.set_num_threads(1)
SMALL = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 8]}}


def batch(count=2, rows=10, columns=12, window=3, seed=0, variables=1, outputs=1):
    """Inputs, residuals known at a third of the cells, weights from 0 to 2."""
    draws = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, count_channels(window, variables), rows, columns, generator=draws)
    residual = torch.randn(count, outputs, rows, columns, generator=draws)
    weight = 2 * torch.rand(count, outputs, rows, columns, generator=draws)
    known = torch.rand(count, outputs, rows, columns, generator=draws) < 1 / 3
    return inputs, residual.where(known, torch.nan), weight.where(known, 0.0)


def started(network=SMALL, window=3, **options):
    """A correction whose last layers are not at zero."""
    torch.manual_seed(0)
    task = Correction(network, window, **options)
    for weights in task.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.05)
    return task


def nll(mean, log_error, residual, weight):
    """Weighted mean of minus the logarithm of the Gaussian density, without log(2 pi) / 2."""
    known = weight > 0
    loss = -Normal(mean[known], log_error[known].exp()).log_prob(residual[known]) - np.log(2 * np.pi) / 2
    return (loss * weight[known]).sum() / weight.sum()


def drawn(*parts):
    """A batch as training has it, with variances of the residuals where there are some."""
    inputs, residual, weight = parts
    variance = 0.2 + torch.rand(residual.shape, generator=torch.Generator().manual_seed(1))
    return inputs, residual, variance.where(weight > 0, torch.nan), weight


class Pooled(torch.nn.Module):
    """Correct every cell by the mean of the first input over the patch."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        mean = inputs[:, :1].mean((-2, -1), keepdim=True).expand(-1, 1, *inputs.shape[-2:])
        return torch.cat([mean, torch.zeros_like(mean)], 1)


def test_neighbouring_patches_share_a_quarter_of_their_cells():
    """Two patches of 16 cells share cells 12 to 15, where the second counts 1 to 4 fifths."""
    task = started({"class_path": f"{__name__}.Pooled"}, patch=16).eval()
    inputs = torch.ones(1, count_channels(3), 8, 28)
    inputs[:, 0, :, :12], inputs[:, 0, :, 12:16], inputs[:, 0, :, 16:] = 0, 0, 4
    _, correction, _ = task.predict_step((inputs, torch.tensor([0])), 0)
    expected = [0.0] * 12 + [0.6, 1.2, 1.8, 2.4] + [3.0] * 12
    torch.testing.assert_close(correction[0, 0], torch.tensor(expected).expand(8, 28))


def test_the_loss_is_the_negative_logarithm_of_the_gaussian_density():
    task, (inputs, residual, weight) = started(), batch()
    expected = nll(*task(inputs), residual, weight)
    torch.testing.assert_close(task.training_step(drawn(inputs, residual, weight), 0), expected)
    assert abs(expected) > 0.1


def test_the_loss_of_several_outputs_is_the_mean_of_theirs():
    """However many hidden values each has."""
    task = started(variables=3, outputs=2)
    inputs, residual, weight = batch(variables=3, outputs=2)
    weight[:, 1, :, 3:] = 0
    mean, log_error = task(inputs)
    both = [nll(mean[:, k], log_error[:, k], residual[:, k], weight[:, k]) for k in (0, 1)]
    torch.testing.assert_close(task.training_step(drawn(inputs, residual, weight), 0), sum(both) / 2)
    assert abs(both[0] - both[1]) > 1e-3
    weight[:, 1] = 0
    torch.testing.assert_close(task.training_step(drawn(inputs, residual, weight), 0), both[0] / 2)


def test_the_refined_network_counts_for_seven_tenths():
    task, (inputs, residual, weight) = started(NETWORKS["dincae2"]), batch()
    first, second = (nll(*stage, residual, weight) for stage in task.stages(inputs))
    assert abs(first - second) > 1e-3
    loss = task.training_step(drawn(inputs, residual, weight), 0)
    torch.testing.assert_close(loss, 0.3 * first + 0.7 * second)
    torch.testing.assert_close(task(inputs)[0], task.stages(inputs)[1][0])


def test_values_of_no_weight_teach_nothing():
    task, (inputs, residual, weight) = started(), batch()
    loss = task.training_step(drawn(inputs, residual, weight), 0)
    other = task.training_step(drawn(inputs, residual.where(weight > 0, 1e6), weight), 0)
    assert torch.equal(loss, other)
    loss.backward()
    assert all(weights.grad.isfinite().all() for weights in task.parameters())


def test_another_loss_and_penalties_by_their_names():
    """The divergence is the likelihood and half of v / exp(2 d) - log v - 1; penalties have factors."""
    parts = drawn(*batch())
    inputs, residual, variance, weight = parts
    plain, names = started(), "oceanfill.models.losses."
    mean, log_error = plain(inputs)
    known, share = weight > 0, weight / weight.sum()
    more = ((variance / torch.exp(2 * log_error) - variance.log() - 1) / 2 * share)[known].sum()
    expected = nll(mean, log_error, residual, weight) + more
    other = started(loss=names + "kullback_leibler")
    torch.testing.assert_close(other.training_step(parts, 0), expected)
    squares = sum((w**2).sum() for w in plain.parameters() if w.dim() > 1)
    rough = mean.diff(n=2, dim=-2).square().mean() + mean.diff(n=2, dim=-1).square().mean()
    both = started(penalties={names + "squared_weights": 0.5, names + "laplacian": 2.0})
    torch.testing.assert_close(
        both.training_step(parts, 0), plain.training_step(parts, 0) + 0.5 * squares + 2 * rough
    )
    for path, finding in (
        ("oceanfill.models.losses.huber", "no attribute 'huber'"),
        ("squares", "Empty module"),
    ):
        with pytest.raises(InputError, match=finding):
            Correction(SMALL, loss=path)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_starts_as_no_correction(name):
    network = NETWORKS[name]
    if has_fixed_grid(network):
        network = network | {"init_args": network["init_args"] | {"shape": [10, 13]}}
    task = Correction(network, window=3).eval()
    with torch.no_grad():
        correction, log_error = task(batch(columns=13)[0])
    assert correction.shape == log_error.shape == (2, 1, 10, 13)
    assert not correction.any()
    assert not log_error.any()


def test_only_networks_with_dense_layers_are_made_for_one_grid():
    assert {name for name in NETWORKS if has_fixed_grid(NETWORKS[name])} == {
        "dincae1",
        "autoencoder",
        "vae",
        "dense-autoencoder",
        "linear-autoencoder",
    }


def test_a_network_is_built_with_its_options_and_told_the_window():
    made = build_network(SMALL, 7, 2, 3)
    assert isinstance(made, UNet)
    assert sum(weights.numel() for weights in made.parameters()) == sum(
        weights.numel() for weights in UNet(inputs=7, outputs=2, widths=[4, 8]).parameters()
    )
    assert build_network(NETWORKS["convlstm"], count_channels(7), 2, 7).dates == 7
    assert build_network(NETWORKS["convlstm"], count_channels(7, 3), 2, 7, 3).variables == 3


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_sees_every_date_of_every_variable_and_says_each_output(name):
    network = NETWORKS[name]
    if has_fixed_grid(network):
        network = network | {"init_args": network["init_args"] | {"shape": [10, 12]}}
    task = started(network, variables=2, outputs=2).eval()
    inputs = batch(1, variables=2)[0].requires_grad_()
    mean, _ = task(inputs)
    assert mean.shape == (1, 2, 10, 12)
    for output in (0, 1):
        (gradient,) = torch.autograd.grad(mean[:, output].square().sum(), inputs, retain_graph=True)
        assert gradient.abs().sum((0, 2, 3))[:12].all()


@pytest.mark.parametrize(
    ("network", "finding"),
    [
        ({}, "network ''"),
        (
            {"class_path": "oceanfill.models.unet.UNet", "init_args": {"inputs": 3}},
            "inputs is 15 here, not 3",
        ),
        (
            {"class_path": "oceanfill.models.recurrent.PixelFiller", "init_args": {"dates": 7}},
            "dates is 5 here, not 7",
        ),
        ({"class_path": "oceanfill.models.unett.UNet"}, "No module named 'oceanfill.models.unett'"),
        ({"class_path": "oceanfill.models.unet.Unet"}, "has no attribute 'Unet'"),
        ({"class_path": "oceanfill.models.unet.UNet", "init_args": {"depth": 3}}, "argument 'depth'"),
        ({"class_path": "oceanfill.models.unet.UNet", "init_args": {"norm": "layer"}}, "norm 'layer'"),
        ({"class_path": "math.pi"}, "not a callable"),
    ],
)
def test_what_is_no_network_is_refused_in_a_sentence(network, finding):
    with pytest.raises(InputError, match="check its class_path and init_args") as refused:
        Correction(network)
    assert finding in str(refused.value)


@pytest.mark.parametrize("window", [0, 2, -1])
def test_a_window_without_a_middle(window):
    with pytest.raises(InputError, match=f"a window of {window} dates has no middle"):
        Correction(SMALL, window)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_held_out_is_the_rmse_after_over_the_rmse_before(stage):
    """In units of the field: residuals times the first guess's error at the date itself."""
    task = started()
    parts = [batch(1, seed=seed) for seed in range(3)]
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, barebones=False)
    loader = DataLoader([tuple(part[0] for part in one) for one in parts], batch_size=1)
    found = getattr(trainer, stage)(task, loader, verbose=False)[0]["held_out"]
    after = before = 0.0
    with torch.no_grad():
        for inputs, residual, weight in parts:
            known = weight > 0
            error = inputs[:, 4:5].exp()[known]  # of dates -1, 0, 1 after three anomalies
            left = (residual - task(inputs)[0])[known]
            after += (weight[known] * (left * error) ** 2).sum().item()
            before += (weight[known] * (residual[known] * error) ** 2).sum().item()
    assert found == pytest.approx(np.sqrt(after / before), rel=1e-5)
    assert abs(found - 1) > 1e-3


def test_held_out_of_several_outputs_is_the_mean_of_theirs():
    """Each with the first guess's error of its own; an output without held-out values does not count."""
    task = started(variables=3, outputs=2)
    inputs, residual, weight = batch(1, variables=3, outputs=2)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)

    def held_out(weight):
        loader = DataLoader([(inputs[0], residual[0], weight[0])], batch_size=1)
        return trainer.validate(task, loader, verbose=False)[0]["held_out"]

    with torch.no_grad():
        left = residual - task(inputs)[0]
    shares = []
    for output, channel in enumerate((4, 10)):
        error = inputs[:, channel].exp()
        after, before = (
            (weight[:, output] * (part[:, output].nan_to_num() * error) ** 2).sum()
            for part in (left, residual)
        )
        shares.append(float((after / before).sqrt()))
    assert abs(shares[0] - shares[1]) > 1e-3
    assert held_out(weight) == pytest.approx(np.mean(shares), rel=1e-5)
    weight[:, 0] = 0
    assert held_out(weight) == pytest.approx(shares[1], rel=1e-5)


def test_groups_are_logged_each_and_those_that_choose_make_the_mean():
    task = started()
    task.groups = {"a": True, "b": False, "c": True}
    parts = [batch(1, seed=seed) for seed in range(3)]
    loaders = [DataLoader([tuple(part[0] for part in one)], batch_size=1) for one in parts]
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    found = {
        name: value for one in trainer.validate(task, loaders, verbose=False) for name, value in one.items()
    }
    alone = started()
    expected = [trainer.validate(alone, loader, verbose=False)[0]["held_out"] for loader in loaders]
    assert [found[f"held_out_{name}"] for name in "abc"] == pytest.approx(expected, rel=1e-5)
    assert found["held_out"] == pytest.approx((expected[0] + expected[2]) / 2, rel=1e-5)
    assert abs(expected[0] - expected[1]) > 1e-3


class Rates(Callback):
    def __init__(self, stop=None):
        self.found, self.stop = [], stop

    def on_train_batch_start(self, trainer, task, *_):
        self.found.append(trainer.optimizers[0].param_groups[0]["lr"])
        trainer.should_stop = len(self.found) == self.stop


def train(callbacks, epochs, steps):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    parts = [tuple(part[0] for part in drawn(*batch(1, seed=seed))) for seed in range(steps)]
    trainer.fit(started(learning_rate=0.02), DataLoader(parts, batch_size=1))


def test_the_learning_rate_rises_and_falls_along_a_cosine():
    rates = Rates()
    train([rates], epochs=2, steps=10)
    assert len(rates.found) == 20
    shares = np.array(rates.found) / 0.02
    np.testing.assert_allclose(shares[:3], [0.05, 0.05 + 0.95 / 2, 1], rtol=1e-6)  # up at 2 of 20 steps
    assert shares[11] == pytest.approx(0.5, abs=1e-6)  # half of what is left is done
    assert shares[8] == pytest.approx(0.75, abs=1e-6)  # a third, 60 degrees
    assert (np.diff(shares[2:]) < 0).all()
    assert shares[-1] < 0.01


def test_a_network_may_have_a_learning_rate_of_its_own():
    own = NETWORKS["4dvarnet"]
    assert [started(own).learning_rate, started(own, learning_rate=2e-3).learning_rate] == [1e-3, 2e-3]
    assert started().learning_rate == 3e-3


def test_a_step_of_a_dense_layer_over_a_map_is_as_small_as_that_of_others():
    """With one learning rate for all weights the code grows by a hundred times in a step, and diverges."""
    inputs = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 15, 48, 48), np.float32)) + 1

    def change(layer: nn.Module) -> float:
        groups = group_weights(layer, 3e-3)
        assert {weight for group in groups for weight in group["params"]} == set(layer.parameters())
        before = layer(inputs)
        before.mean().backward()
        torch.optim.Adam(groups).step()
        return float((layer(inputs) - before).detach().abs().mean())

    torch.manual_seed(0)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(15 * 48 * 48, 8))
    narrow = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(15 * 12 * 12, 8))
    assert [len(group_weights(layer, 3e-3)) for layer in (dense, narrow)] == [2, 1]
    assert change(dense) == pytest.approx(3e-3 * 3000, rel=0.03)
    assert change(narrow) == pytest.approx(3e-3 * 15 * 12 * 12, rel=0.03)


def test_the_learning_rate_follows_the_time_where_that_ends_first():
    """Of 1000 seconds 550 are over: half of what is left after the tenth of the warm-up."""
    rates, timer = Rates(stop=3), Timer(timedelta(seconds=1000))
    timer.load_state_dict({"time_elapsed": {"train": 550.0}})
    train([rates, timer], epochs=1000, steps=3)
    np.testing.assert_allclose(np.array(rates.found[1:]) / 0.02, 0.5, atol=0.03)


def test_a_domain_that_fits_a_patch_is_predicted_whole():
    task, inputs = started().eval(), batch(3)[0]
    with torch.no_grad():
        dates, correction, factor = task.predict_step((inputs, torch.tensor([4, 0, 7])), 0)
        expected, log_error = task(inputs)
    assert dates.tolist() == [4, 0, 7]
    torch.testing.assert_close(correction, expected)
    torch.testing.assert_close(factor, log_error.exp(), rtol=1e-4, atol=1e-4)  # a variance by differences


def test_patches_without_sea_are_not_corrected():
    task, inputs = started(patch=16).eval(), batch(1, rows=8, columns=40)[0]
    inputs[:, find_sea_channel(3)] = (torch.arange(40) >= 20).float()
    with torch.no_grad():
        _, correction, factor = task.predict_step((inputs, torch.tensor([0])), 0)
    assert not correction[..., :12].any()  # the first of three patches alone
    assert (factor[..., :12] == 1).all()
    assert correction[..., 16:].all()


def test_a_large_domain_is_predicted_in_patches_that_agree_inside():
    """The network reaches 4 cells: patches 0:16, 12:28, 24:40 know cells 0 to 11, 16 to 23 and 28 to 39."""
    network = {"class_path": "oceanfill.models.convolutional_recurrent.RecurrentFiller"}
    task, inputs = started(network, patch=16).eval(), batch(1, rows=8, columns=40)[0]
    with torch.no_grad():
        _, correction, factor = task.predict_step((inputs, torch.tensor([0])), 0)
        expected, log_error = task(inputs)
    inside = [*range(12), *range(16, 24), *range(28, 40)]
    torch.testing.assert_close(correction[..., inside], expected[..., inside], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(factor[..., inside], log_error.exp()[..., inside], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(correction, expected, atol=1e-4)  # where patches meet they see less
