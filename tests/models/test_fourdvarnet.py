"""4DVarNet: its cost, its priors, and solvers that descend."""

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
)
from oceanfill.pipeline.simulators.lorenz63 import integrate, tendency
from torch import nn

torch.set_num_threads(1)

PLACES = {1: (23,), 2: (13, 17)}  # odd on purpose
PRIORS = [BilinearPrior, TwoScalePrior, AutoEncoderPrior]


def observations(dimensions: int, channels: int = 3, batch: int = 2):
    draws = torch.Generator().manual_seed(0)
    shape = (batch, channels, *PLACES[dimensions])
    first, observed = (torch.randn(shape, generator=draws) for _ in range(2))
    return first, observed, torch.rand(shape, generator=draws) < 0.3


def network(prior: type, dimensions: int, **options) -> FourDVarNet:
    torch.manual_seed(0)
    made = FourDVarNet(
        prior(3, 4, dimensions, kernel=5), RecurrentSolver(3, 6, dimensions), iterations=3, **options
    )
    nn.init.normal_(made.solver.out.weight, std=0.3)
    return made


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("prior", PRIORS)
def test_gradients_reach_all_weights_and_hidden_values_nothing(prior, dimensions):
    made = network(prior, dimensions).train()
    first, observed, known = observations(dimensions)
    said = made(first, observed, known)
    assert said.shape == first.shape
    said.square().sum().backward()
    for name, weights in made.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name
    made.eval()
    other = torch.where(known, observed, observed + 100)
    torch.testing.assert_close(made(first, other, known), made(first, observed, known))
    changed = torch.where(known, observed + 1, observed)
    assert (made(first, changed, known) - made(first, observed, known)).abs().max() > 1e-3


def test_the_cost_is_that_of_its_equation():
    made = FourDVarNet(BilinearPrior(3, 4), Descent())
    made.log_weights.data = torch.tensor([0.3, -0.7])
    first, observed, known = observations(1)
    variance = torch.rand(first.shape) + 0.5
    expected = []
    for member in range(2):
        at = known[member]
        misfit = ((first - observed).square() / variance)[member][at].sum()
        residual = (first - made.prior(first))[member].square().sum()
        expected.append(misfit * torch.exp(torch.tensor(0.3)) + residual * torch.exp(torch.tensor(-0.7)))
    torch.testing.assert_close(made.cost(first, observed, known, variance), torch.stack(expected))
    nothing = torch.zeros_like(known)
    without = (first - made.prior(first)).square().flatten(1).sum(1) * made.log_weights[1].exp()
    torch.testing.assert_close(made.cost(first, observed, nothing), without)


def test_descent_ends_where_least_squares_of_principal_components_does():
    """The minimum of |m (x - y)|^2 + |x - P x|^2, solved as a linear system."""
    draws = torch.Generator().manual_seed(1)
    modes = torch.linalg.qr(torch.randn(12, 3, generator=draws, dtype=torch.float64))[0]
    observed = torch.randn(1, 1, 12, generator=draws, dtype=torch.float64)
    known = (torch.arange(12) % 3 != 0).view(1, 1, 12)
    made = FourDVarNet(
        Components(torch.zeros(1, 12, dtype=torch.float64), modes), Descent(0.1, momentum=0.8), 1500
    )
    made = made.double().eval()
    with torch.no_grad():
        found = made(torch.zeros_like(observed), observed, known)
    weight = torch.diag(known.flatten().double())
    rest = torch.eye(12) - modes @ modes.T
    expected = torch.linalg.solve(weight + rest, weight @ observed.flatten())
    torch.testing.assert_close(found.flatten(), expected, atol=1e-6, rtol=1e-5)


def test_an_untrained_solver_is_plain_descent_and_iterations_can_be_changed():
    torch.manual_seed(0)
    prior = TwoScalePrior(3, 4)
    learnt = FourDVarNet(prior, RecurrentSolver(3, 6, rate=0.2)).eval()
    plain = FourDVarNet(prior, Descent(0.2)).eval()
    given = observations(1)
    costs = []
    for iterations in (0, 4, 12):
        learnt.iterations = plain.iterations = iterations
        said = learnt(*given)
        torch.testing.assert_close(said, plain(*given))
        costs.append(float(plain.cost(said, *given[1:]).detach().sum()))
    torch.testing.assert_close(plain(*given).requires_grad, False)
    assert costs[0] > costs[1] > costs[2]


def saved_bytes(made: FourDVarNet, iterations: int) -> tuple[int, list[torch.Tensor]]:
    """What training keeps for the gradients, and these."""
    made.iterations = iterations
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    made.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = made(*observations(2)).square().mean()
    loss.backward()
    return kept, [weights.grad.clone() for weights in made.parameters()]


def test_recomputed_iterations_have_the_same_gradients_and_keep_little():
    plain, recomputed = network(TwoScalePrior, 2), network(TwoScalePrior, 2, recomputed=True)
    (few, _), (many, gradients) = saved_bytes(plain, 2), saved_bytes(plain, 8)
    (few_kept, _), (many_kept, same) = saved_bytes(recomputed, 2), saved_bytes(recomputed, 8)
    for one, other in zip(gradients, same, strict=True):
        torch.testing.assert_close(one, other)
    assert (many_kept - few_kept) < 0.1 * (many - few)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_no_value_tells_a_bilinear_prior_of_itself(dimensions):
    torch.manual_seed(0)
    prior = BilinearPrior(2, 5, dimensions, kernel=3)
    states = torch.randn(1, 2, *PLACES[dimensions], requires_grad=True)
    middle = tuple(extent // 2 for extent in PLACES[dimensions])
    (gradient,) = torch.autograd.grad(prior(states)[(0, slice(None), *middle)].sum(), states)
    assert not gradient[(0, slice(None), *middle)].any()
    assert gradient[(0, slice(None), *middle[:-1], middle[-1] + 1)].abs().max() > 1e-4


def test_two_scales_see_the_smooth_part_and_the_rest():
    torch.manual_seed(0)
    prior = TwoScalePrior(1, 4, scale=4)
    wiggle = torch.tensor([1.0, -1.0, 1.0, -1.0]).repeat(6).view(1, 1, 24)
    smooth = torch.randn(1, 1, 6).repeat_interleave(4, -1)
    coarse, fine = (part(given) for part, given in ((prior.coarse, smooth[..., ::4]), (prior.fine, wiggle)))
    expected = coarse.repeat_interleave(4, -1) + fine
    torch.testing.assert_close(prior(smooth + wiggle), expected)


def test_the_true_equations_expect_what_comes_and_know_normalised_states():
    truth = integrate(torch.tensor([[8.0, 0.0, 30.0]], dtype=torch.float64), 30, substeps=1).movedim(-1, 1)
    prior = Evolution(lambda state: rk4(tendency, state, 0.01))
    torch.testing.assert_close(prior(truth), truth)
    normalised = Evolution(prior.step, scale=8.0, offset=20.0)
    torch.testing.assert_close(normalised((truth - 20) / 8), (truth - 20) / 8)
    wrong = truth.clone()
    wrong[..., 10] += 1
    residual = (wrong - prior(wrong)).abs().amax(1)[0]
    assert set(torch.nonzero(residual > 1e-9).flatten().tolist()) == {10, 11}


def test_an_operator_says_how_states_are_seen():
    """Only the sum of two channels is observed: the descent meets it and leaves their difference."""

    class Sum(nn.Module):
        def forward(self, states):
            return states.sum(1, keepdim=True)

    first = torch.tensor([[[1.0, 1.0], [3.0, 3.0]]])
    made = FourDVarNet(nn.Identity(), Descent(0.05), iterations=900, operator=Sum()).eval()
    with torch.no_grad():
        said = made(first, torch.full((1, 1, 2), 10.0), torch.ones(1, 1, 2, dtype=torch.bool))
    torch.testing.assert_close(said.sum(1), torch.full((1, 2), 10.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(said[:, 1] - said[:, 0], torch.full((1, 2), 2.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("fold", [1, 2])
def test_the_filler_starts_at_zero_and_gradients_reach_all_of_it(fold):
    torch.manual_seed(0)
    made = VariationalFiller(11, dates=3, hidden=6, prior=4, kernel=3, iterations=2, fold=fold)
    x = torch.randn(2, 11, 9, 13)
    assert not made(x).any()
    nn.init.normal_(made.head.weight)
    nn.init.normal_(made.assimilation.solver.out.weight, std=0.1)
    said = made(x)
    assert said.shape == (2, 2, 9, 13)
    said.square().sum().backward()
    for name, weights in made.named_parameters():
        assert weights.grad.abs().max() > 0, name
    with torch.no_grad():  # as it is validated and run
        torch.testing.assert_close(made.eval()(x), said.detach())


def test_the_filler_stays_near_what_is_well_known():
    """States move less where the error of the data is small."""
    torch.manual_seed(0)
    made = VariationalFiller(11, dates=3, hidden=6, prior=4, kernel=3, iterations=10, fold=1).eval()
    moved = []
    made.read.register_forward_pre_hook(lambda layer, given: moved.append(given[0][:, 11:]))
    x = torch.randn(1, 11, 12, 12)
    for log_error in (-1.5, 1.5):
        x[:, 3:6] = log_error
        made(x)
    sigma = torch.exp(torch.tensor([-1.5, 1.5]))
    near, far = (float(part.abs().mean() * by) for part, by in zip(moved, sigma, strict=True))
    assert near < 0.3 * far
    assert far > 0.01
