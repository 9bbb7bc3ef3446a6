"""4DVarNet: its cost, its priors and its solvers."""

from __future__ import annotations

import pytest
import torch
from oceanfill.models.dynamics import rk4
from oceanfill.models.fourdvarnet import (
    AutoEncoderPrior,
    BilinearPrior,
    Components,
    Descent,
    Evolution,
    FourDVarNet,
    RecurrentSolver,
    TwoScalePrior,
    VariationalFiller,
    make_periodic_along_y,
)
from oceanfill.pipeline.simulators.lorenz63 import integrate, tendency
from torch import nn
from torch.nn.functional import interpolate, silu

torch.set_num_threads(1)

SPACES = {1: (23,), 2: (13, 17)}  # odd on purpose
PRIORS = [BilinearPrior, TwoScalePrior, AutoEncoderPrior]


def draw_observations(dimensions: int, channels: int = 3, batch: int = 2):
    draws = torch.Generator().manual_seed(0)
    shape = (batch, channels, *SPACES[dimensions])
    first, observed = (torch.randn(shape, generator=draws) for _ in range(2))
    return first, observed, torch.rand(shape, generator=draws) < 0.3


def make_network(prior: type, dimensions: int, **options) -> FourDVarNet:
    torch.manual_seed(0)
    network = FourDVarNet(
        prior(3, 4, dimensions, kernel=5), RecurrentSolver(3, 6, dimensions), iterations=3, **options
    )
    nn.init.normal_(network.solver.out.weight, std=0.3)
    return network


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("prior", PRIORS)
def test_gradients_reach_all_weights_and_hidden_values_have_no_influence(prior, dimensions):
    network = make_network(prior, dimensions).train()
    first, observed, known = draw_observations(dimensions)
    states = network(first, observed, known)
    assert states.shape == first.shape
    states.square().sum().backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name
    network.eval()
    other = torch.where(known, observed, observed + 100)
    torch.testing.assert_close(network(first, other, known), network(first, observed, known))
    changed = torch.where(known, observed + 1, observed)
    assert (network(first, changed, known) - network(first, observed, known)).abs().max() > 1e-3


def test_the_cost_follows_its_equation():
    network = FourDVarNet(BilinearPrior(3, 4), Descent())
    network.log_weights.data = torch.tensor([0.3, -0.7])
    first, observed, known = draw_observations(1)
    variance = torch.rand(first.shape) + 0.5
    expected = []
    for member in range(2):
        at = known[member]
        misfit = ((first - observed).square() / variance)[member][at].sum()
        residual = (first - network.prior(first))[member].square().sum()
        expected.append(misfit * torch.exp(torch.tensor(0.3)) + residual * torch.exp(torch.tensor(-0.7)))
    torch.testing.assert_close(network.cost(first, observed, known, variance), torch.stack(expected))
    nothing = torch.zeros_like(known)
    without = (first - network.prior(first)).square().flatten(1).sum(1) * network.log_weights[1].exp()
    torch.testing.assert_close(network.cost(first, observed, nothing), without)


def test_descent_converges_to_the_least_squares_solution_with_principal_components():
    """The minimum of |m (x - y)|^2 + |x - P x|^2, solved as a linear system."""
    draws = torch.Generator().manual_seed(1)
    modes = torch.linalg.qr(torch.randn(12, 3, generator=draws, dtype=torch.float64))[0]
    observed = torch.randn(1, 1, 12, generator=draws, dtype=torch.float64)
    known = (torch.arange(12) % 3 != 0).view(1, 1, 12)
    network = FourDVarNet(
        Components(torch.zeros(1, 12, dtype=torch.float64), modes), Descent(0.1, momentum=0.8), 1500
    )
    network = network.double().eval()
    with torch.no_grad():
        found = network(torch.zeros_like(observed), observed, known)
    weight = torch.diag(known.flatten().double())
    rest = torch.eye(12) - modes @ modes.T
    expected = torch.linalg.solve(weight + rest, weight @ observed.flatten())
    torch.testing.assert_close(found.flatten(), expected, atol=1e-6, rtol=1e-5)


def test_descent_adds_its_momentum_times_the_last_step():
    descent = Descent(0.1, momentum=0.5)
    first, memory = descent(torch.tensor([2.0]), ())
    second, _ = descent(torch.tensor([3.0]), memory)
    assert (first.item(), second.item()) == pytest.approx((0.2, 0.3 + 0.5 * 0.2))


def test_a_recurrent_solver_written_out():
    """The LSTM reads gradients over their root mean square; a plain step is added to what it returns."""
    torch.manual_seed(0)
    solver = RecurrentSolver(3, 5, rate=0.2)
    nn.init.normal_(solver.out.weight)
    gradients = 100 * torch.randn(2, 2, 3, 7)
    output = memory = torch.zeros(2, 5, 7)
    given: tuple[torch.Tensor, ...] = ()
    for gradient in gradients:
        rms = gradient.square().mean((1, 2), keepdim=True).sqrt()
        gates = solver.cell.of_input(gradient / rms) + solver.cell.of_state(output)
        enter, forget, new, leave = gates.split(5, 1)
        memory = forget.sigmoid() * memory + enter.sigmoid() * new.tanh()
        output = leave.sigmoid() * memory.tanh()
        step, given = solver(gradient, given)
        torch.testing.assert_close(step, solver.out(output) + 0.2 * gradient)


def test_an_untrained_solver_is_plain_descent_and_iterations_can_be_changed():
    torch.manual_seed(0)
    prior = TwoScalePrior(3, 4)
    learnt = FourDVarNet(prior, RecurrentSolver(3, 6, rate=0.2)).eval()
    plain = FourDVarNet(prior, Descent(0.2)).eval()
    given = draw_observations(1)
    costs = []
    for iterations in (0, 4, 12):
        learnt.iterations = plain.iterations = iterations
        states = learnt(*given)
        torch.testing.assert_close(states, plain(*given))
        costs.append(float(plain.cost(states, *given[1:]).detach().sum()))
    assert not plain(*given).requires_grad
    assert costs[0] > costs[1] > costs[2]


def measure_saved_bytes(network: FourDVarNet, iterations: int) -> tuple[int, list[torch.Tensor]]:
    """Return the number of bytes that training keeps for the gradients, and the gradients."""
    network.iterations = iterations
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    network.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = network(*draw_observations(2)).square().mean()
    loss.backward()
    return kept, [weights.grad.clone() for weights in network.parameters()]


def test_recomputed_iterations_have_the_same_gradients_and_need_little_memory():
    plain, recomputed = make_network(TwoScalePrior, 2), make_network(TwoScalePrior, 2, recomputed=True)
    (few, _), (many, gradients) = measure_saved_bytes(plain, 2), measure_saved_bytes(plain, 8)
    (few_kept, _), (many_kept, same) = measure_saved_bytes(recomputed, 2), measure_saved_bytes(recomputed, 8)
    for one, other in zip(gradients, same, strict=True):
        torch.testing.assert_close(one, other)
    assert (many_kept - few_kept) < 0.1 * (many - few)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_bilinear_prior_predicts_no_value_from_itself(dimensions):
    torch.manual_seed(0)
    prior = BilinearPrior(2, 5, dimensions, kernel=3)
    states = torch.randn(1, 2, *SPACES[dimensions], requires_grad=True)
    middle = tuple(extent // 2 for extent in SPACES[dimensions])
    (gradient,) = torch.autograd.grad(prior(states)[(0, slice(None), *middle)].sum(), states)
    assert not gradient[(0, slice(None), *middle)].any()
    assert gradient[(0, slice(None), *middle[:-1], middle[-1] + 1)].abs().max() > 1e-4


def test_a_bilinear_prior_written_out():
    torch.manual_seed(0)
    prior = BilinearPrior(2, 5, kernel=3)
    states = torch.randn(1, 2, 9)
    neighbours = torch.nn.functional.pad(states, (1, 1))
    left, right = (
        torch.einsum("oi,bix->box", prior.around.weight[..., k], neighbours[..., k : k + 9]) for k in (0, 2)
    )
    linear, one, other = prior.parts(torch.relu(left + right + prior.around.bias[:, None])).split(5, 1)
    torch.testing.assert_close(prior(states), prior.join(torch.cat([linear, one * other], 1)))


def test_an_autoencoder_prior_written_out():
    """On 10 x 6 cells and a scale of 4 the last means are those of the cells that exist."""
    torch.manual_seed(0)
    prior = AutoEncoderPrior(2, 3, dimensions=2, scale=4)
    states = torch.randn(1, 2, 10, 6)
    down = prior.down[2](silu(prior.down[0](states)))
    means = torch.stack(
        [
            torch.stack([down[..., y : y + 4, x : x + 4].mean((-2, -1)) for x in (0, 4)], -1)
            for y in (0, 4, 8)
        ],
        -2,
    )
    up = interpolate(silu(means), (10, 6), mode="nearest")
    torch.testing.assert_close(prior(states), prior.up[2](silu(prior.up[0](up))))


def test_two_scales_read_the_smooth_part_and_the_remainder():
    torch.manual_seed(0)
    prior = TwoScalePrior(1, 4, scale=4)
    wiggle = torch.tensor([1.0, -1.0, 1.0, -1.0]).repeat(6).view(1, 1, 24)
    smooth = torch.randn(1, 1, 6).repeat_interleave(4, -1)
    coarse, fine = (part(given) for part, given in ((prior.coarse, smooth[..., ::4]), (prior.fine, wiggle)))
    expected = coarse.repeat_interleave(4, -1) + fine
    torch.testing.assert_close(prior(smooth + wiggle), expected)


def test_the_true_equations_predict_each_state_also_when_normalised():
    truth = integrate(torch.tensor([[8.0, 0.0, 30.0]], dtype=torch.float64), 30, substeps=1).movedim(-1, 1)
    prior = Evolution(lambda state: rk4(tendency, state, 0.01))
    torch.testing.assert_close(prior(truth), truth)
    normalised = Evolution(prior.step, scale=8.0, offset=20.0)
    torch.testing.assert_close(normalised((truth - 20) / 8), (truth - 20) / 8)
    wrong = truth.clone()
    wrong[..., 10] += 1
    residual = (wrong - prior(wrong)).abs().amax(1)[0]
    assert set(torch.nonzero(residual > 1e-9).flatten().tolist()) == {10, 11}


def test_an_operator_maps_states_to_observations():
    """Only the sum of two channels is observed: descent reproduces it and preserves their difference."""

    class Sum(nn.Module):
        def forward(self, states):
            return states.sum(1, keepdim=True)

    first = torch.tensor([[[1.0, 1.0], [3.0, 3.0]]])
    network = FourDVarNet(nn.Identity(), Descent(0.05), iterations=900, operator=Sum()).eval()
    with torch.no_grad():
        states = network(first, torch.full((1, 1, 2), 10.0), torch.ones(1, 1, 2, dtype=torch.bool))
    torch.testing.assert_close(states.sum(1), torch.full((1, 2), 10.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(states[:, 1] - states[:, 0], torch.full((1, 2), 2.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("fold", [1, 2])
def test_the_filler_starts_at_zero_and_gradients_reach_all_of_it(fold):
    torch.manual_seed(0)
    filler = VariationalFiller(11, dates=3, hidden=6, prior=4, kernel=3, iterations=2, fold=fold)
    x = torch.randn(2, 11, 9, 13)
    assert not filler(x).any()
    nn.init.normal_(filler.head.weight)
    nn.init.normal_(filler.assimilation.solver.out.weight, std=0.1)
    output = filler(x)
    assert output.shape == (2, 2, 9, 13)
    output.square().sum().backward()
    for name, weights in filler.named_parameters():
        assert weights.grad.abs().max() > 0, name
    with torch.no_grad():  # as in validation and use
        torch.testing.assert_close(filler.eval()(x), output.detach())


def test_the_filler_assimilates_the_anomalies_of_all_variables_with_their_errors():
    """Two variables of three dates: channels 0 to 2 and 6 to 8; a variance is at least 0.01."""
    torch.manual_seed(0)
    filler = VariationalFiller(14, dates=3, hidden=4, prior=4, kernel=3, iterations=1, fold=1, variables=2)
    given = []
    filler.assimilation.register_forward_pre_hook(lambda network, arguments: given.append(arguments))
    x = torch.randn(1, 14, 6, 8)
    x[:, 3] = -9
    filler(x)
    first, observed, known, variance = given[0]
    anomalies, log_errors = x[:, [0, 1, 2, 6, 7, 8]], x[:, [3, 4, 5, 9, 10, 11]]
    torch.testing.assert_close((first, observed), (anomalies, anomalies))
    assert known.all()
    torch.testing.assert_close(variance, (2 * log_errors).exp().clamp(min=0.01))
    assert variance[:, 0].eq(0.01).all()


def test_the_filler_stays_close_to_accurate_data():
    """States move less where the error of the data is small."""
    torch.manual_seed(0)
    filler = VariationalFiller(11, dates=3, hidden=6, prior=4, kernel=3, iterations=10, fold=1).eval()
    moved = []
    filler.read.register_forward_pre_hook(lambda layer, given: moved.append(given[0][:, 11:]))
    x = torch.randn(1, 11, 12, 12)
    for log_error in (-1.5, 1.5):
        x[:, 3:6] = log_error
        filler(x)
    sigma = torch.exp(torch.tensor([-1.5, 1.5]))
    near, far = (float(part.abs().mean() * by) for part, by in zip(moved, sigma, strict=True))
    assert near < 0.3 * far
    assert far > 0.01


def test_a_periodic_network_shifts_its_output_with_its_input():
    """Against convolutions of an input repeated along y; along x zeros remain beyond the edges."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 5, padding=2), nn.ReLU(), nn.Conv2d(3, 1, 1))
    x = torch.randn(1, 2, 8, 6)
    expected = network(torch.cat([x, x, x], dim=-2))[..., 8:16, :]
    assert not torch.allclose(network(x), expected)
    assert make_periodic_along_y(network) is network
    torch.testing.assert_close(network(x), expected)
    torch.testing.assert_close(network(x.roll(3, -2)), expected.roll(3, -2))
