"""Learnt assimilation of Lorenz's systems: how they are seen, and what is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.models.fourdvarnet import Descent, Evolution, FourDVarNet
from oceanfill.pipeline.experiments.fablet.data import (
    LENGTH,
    LORENZ63,
    LORENZ63_FIRST,
    LORENZ96,
    NOISE_VARIANCE,
    AssimilationWindows,
    interpolate_linearly,
)
from oceanfill.pipeline.experiments.fablet.fourdvar import assimilate
from oceanfill.pipeline.experiments.fablet.networks import list_networks, tune_descent
from oceanfill.pipeline.experiments.fablet.tasks import Assimilation
from shipped import run_shipped
from torch import nn

torch.set_num_threads(1)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_lorenz_63_is_seen_each_eight_steps_but_for_the_ends():
    truth = LORENZ63.draw_windows(LORENZ63.training, 40, seed=0)
    assert truth.shape == (40, 3, LENGTH)
    seen = LORENZ63.observe(truth, draws())
    at = seen.observed[0, 0].nonzero()[:, 0].tolist()
    assert at == list(range(10, 190, 8))
    assert (seen.observed == seen.observed[:1, :1]).all()
    error = (seen.values - truth)[seen.observed]
    assert float(error.var()) == pytest.approx(NOISE_VARIANCE, rel=0.08)  # 2760 values: 3 sigma
    assert not seen.values[~seen.observed].any()
    first = LORENZ63_FIRST.observe(truth, draws())
    assert first.observed[:, 0].sum() == 40 * 23
    assert not first.observed[:, 1:].any()


def test_lorenz_96_is_seen_by_halves_at_each_fourth_step():
    truth = LORENZ96.draw_windows(LORENZ96.training, 5, seed=0)
    assert truth.shape == (5, 40, LENGTH)
    known = LORENZ96.observe(truth, draws()).observed
    count = known.sum(1)
    assert (count[:, ::4] == 20).all()
    assert count.sum() == 5 * 50 * 20
    assert not torch.equal(known[0, :, 0], known[0, :, 4])
    assert not torch.equal(known[0], known[1])


def test_parts_of_the_series_do_not_share_a_step():
    for system in (LORENZ63, LORENZ96):
        series = system.series()
        assert len(series) == 20_000
        ends = [(part.start, part.stop) for part in (system.training, system.validation, system.test)]
        assert ends == [(0, 12_000), (12_000, 15_000), (15_000, 20_000)]
        for part in (system.training, system.test):
            found = system.draw_windows(part, 30, seed=1)[:, 0]
            own = {value.item() for value in series[part, 0].float()}
            assert all(value.item() in own for value in found.flatten())


def test_interpolation_is_linear_and_constant_beyond_the_ends():
    known = torch.zeros(1, 2, 9, dtype=torch.bool)
    known[0, 0, [2, 6]] = True
    observed = torch.where(known, torch.tensor([0.0, 0, 2, 0, 0, 0, 6, 0, 0]), 0.0)
    found = interpolate_linearly(observed, known)
    np.testing.assert_allclose(found[0, 0], [2, 2, 2, 3, 4, 5, 6, 6, 6])
    np.testing.assert_allclose(found[0, 1], 4.0)


def windows(batch: int = 6) -> AssimilationWindows:
    seen = LORENZ63.observe(LORENZ63.draw_windows(LORENZ63.training, batch, seed=0), draws())
    return AssimilationWindows(*(part / 10 for part in seen[:3]), seen.observed)


class Seer(nn.Module):
    """Says what it is shown, and elsewhere the first guess."""

    def forward(self, first, observed, known):
        return torch.where(known, observed, first)


def test_hidden_observations_are_not_shown_and_they_alone_count():
    batch = windows()
    torch.manual_seed(0)
    task = Assimilation(Seer(), lambda seen: seen, 1e-3, loss="hidden", share=0.5)
    found = float(task.training_step(batch, 0))
    torch.manual_seed(0)
    hidden = (batch.observed & (torch.rand(batch.observed.shape) < 0.5)).numpy()
    squares = []
    for place in np.ndindex(hidden.shape[:2]):
        values, away = batch.values[place].numpy(), hidden[place].nonzero()[0]
        kept = (batch.observed[place].numpy() & ~hidden[place]).nonzero()[0]
        squares.append((np.interp(away, kept, values[kept]) - values[away]) ** 2)
    assert found == pytest.approx(np.concatenate(squares).mean(), rel=1e-5)
    assert found > 0.1  # who is shown the hidden values, or a first guess through them, would have 0


def test_without_truth_the_cost_is_what_falls_and_its_weights_stay():
    network = FourDVarNet(Evolution(lambda state: state), Descent(0.05), iterations=3)
    task = Assimilation(network, lambda seen: seen, 1e-3, loss="cost")
    batch = windows()
    loss = task.training_step(batch, 0)
    with torch.no_grad():
        states = network(*batch[1:])
        expected = network.cost(states, batch.values, batch.observed).mean()
    torch.testing.assert_close(loss.detach(), expected)
    blind = batch._replace(truth=torch.full_like(batch.truth, torch.nan))
    torch.testing.assert_close(task.training_step(blind, 0).detach(), expected)
    loss.backward()
    assert network.log_weights.grad is None
    assert network.solver.log_rate.grad.abs() > 0


def test_the_supervised_loss_knows_the_prior():
    network = FourDVarNet(Evolution(lambda state: 0.9 * state), Descent(0.05), iterations=2)
    task = Assimilation(network, lambda seen: seen, 1e-3)
    batch = windows()
    loss = task.training_step(batch, 0)
    states = network(*batch[1:])
    residual = sum((part - network.prior(part)).square().mean() for part in (states, batch.truth))
    torch.testing.assert_close(loss, (states - batch.truth).square().mean() + 0.05 * residual)


def test_iterations_grow_with_the_epochs():
    network = FourDVarNet(nn.Identity(), Descent(), iterations=12)
    task = Assimilation(network, lambda seen: seen, 1e-3)

    class Trainer:
        max_epochs = 6

    found = []
    task._trainer = Trainer()
    for epoch in range(6):
        type(task).current_epoch = epoch
        task.on_train_epoch_start()
        found.append(network.iterations)
    assert found == [4, 4, 8, 8, 12, 12]


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="choose one of supervised, hidden, cost"):
        Assimilation(Seer(), lambda seen: seen, 1e-3, loss="absolute")


def test_networks_of_a_ring_do_not_know_where_it_begins():
    made = list_networks(LORENZ96, 2.3, 3.6, hidden=3, prior=4, direct=4, iterations=2)
    seen = LORENZ96.observe(LORENZ96.draw_windows(LORENZ96.training, 2, seed=0)[..., :24], draws())
    first, observed, known = (LORENZ96.arrange(part) for part in seen[1:])
    for name, make in made.items():
        torch.manual_seed(0)
        network = make()
        if name.startswith("LSTM"):  # one channel for each variable
            assert network(first, observed, known).shape == first.shape
            continue
        with torch.no_grad():
            for weight in network.parameters():
                if weight.ndim > 1:
                    weight.add_(0.02 * torch.randn(weight.shape))  # no last layer at zero
            said = network(first, observed, known)
            turned = network(*(part.roll(4, 2) for part in (first, observed, known)))
        assert (said - first).abs().max() > 0.01, name
        torch.testing.assert_close(turned, said.roll(4, 2), rtol=1e-4, atol=1e-3, msg=name)


def test_descent_on_a_learnt_prior_takes_the_steps_that_suit_windows():
    network = FourDVarNet(nn.Identity(), Descent(0.3), iterations=2)
    truth, nothing = torch.randn(2, 1, 5), torch.zeros(2, 1, 5)
    network.log_weights.data[0] = np.log(10)  # a step of r leaves |1 - 20 r| of the error: none, for 0.05
    seen = AssimilationWindows(truth, nothing, truth, torch.ones(2, 1, 5, dtype=torch.bool))
    found = tune_descent(network, seen)
    assert float(found.solver.log_rate.exp()) == pytest.approx(0.05)
    assert found.iterations == 2
    assert float(network.solver.log_rate.exp()) == pytest.approx(0.3)  # as it was
    torch.testing.assert_close(found(*seen[1:]), truth)


def test_4dvar_of_one_component_finds_the_others_by_weaker_equations_first():
    training = LORENZ63_FIRST.draw_windows(LORENZ63_FIRST.training, 5, seed=0)
    test = LORENZ63_FIRST.observe(LORENZ63_FIRST.draw_windows(LORENZ63_FIRST.test, 6, seed=1), draws(1))
    tuning = LORENZ63_FIRST.observe(training, draws(4))
    states = assimilate(LORENZ63_FIRST, test, tuning, iterations=40)
    error = float((states - test.truth).square().mean())
    assert error < 2.5  # 244 by interpolation, 248 bound to the equations from the start


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("fablet-2021-l63", {"L63": LORENZ63, "L63, first component": LORENZ63_FIRST}),
        ("fablet-2021-l96", {"L96": LORENZ96}),
    ],
)
def test_shipped_configurations_compare_methods_on_test_windows(tmp_path, name, titles):
    shortened = '--training 16 --tests 2 --batch 8 --iterations 1 --search 1 --only ["U-Net"]'
    found = run_shipped(name, tmp_path, shortened)
    for title, system in titles.items():
        test = system.observe(system.draw_windows(system.test, 2, seed=1), draws(1))
        square = (test.first_guess - test.truth).square()
        linear = f"{title}: linear interpolation, MSE"
        assert found[linear].value == pytest.approx(float(square.mean()))
        assert found[f"{linear} where observed"].value == pytest.approx(float(square[test.observed].mean()))
        assert np.isfinite(found[f"{title}: 4DVar, the true ODE, MSE"].value)
        assert np.isfinite(found[f"{title}: U-Net, MSE"].value)
    files = {title.lower().replace(", ", "-").replace(" ", "-") for title in titles}
    assert {path.name for path in tmp_path.glob("*.p*")} == {
        f"{file}{end}" for file in files for end in (".png", "-u-net.pt")
    }
