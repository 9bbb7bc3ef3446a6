"""Quasi-geostrophic layers in a closed, wind-driven square basin, batched over members, in torch.

Layer k, counted from the top, has thickness H_k, stream function psi_k and potential vorticity

    q_k = zeta_k + beta y - (A psi)_k,    zeta = Laplacian psi,    dq_k/dt = -J(psi_k, q_k) + D_k,

where A couples neighbouring layers by f0^2 / (g'_i H_k) across the interface i with reduced gravity g'_i, and
D is Laplacian viscosity, wind on the top layer and linear drag on the lowest layer (Vallis 2017,
doi:10.1017/9781107588417, sections 5.3 and 19.4). Walls are free-slip: psi_k is constant along them and zeta
is 0. The wind drives a double gyre. Fields are given at the corners of the cells, walls included.

J is discretised after Arakawa (1966, doi:10.1016/0021-9991(66)90015-5), which conserves energy and enstrophy,
and the Laplacian with five points, which sine transforms invert exactly. The value of psi on the walls
follows from conservation of mass in each layer (McWilliams 1977, doi:10.1016/0377-0265(77)90002-1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from scipy.fft import dstn
from torch import Tensor
from torch.nn.functional import pad

from ..errors import InputError
from .running import State, adams_bashforth

_DENSITY = 1000.0  # kg m-3, of sea water


def compute_jacobian(a: Tensor, b: Tensor, spacing: float) -> Tensor:
    """Compute a_x b_y - a_y b_x of fields (..., y, x) at interior points (..., y - 2, x - 2).

    The sum of a times the Jacobian is 0 if a is 0 on the edge; that of b times it is 0 if b is 0 there as
    well.
    """
    along = a[..., 2:] - a[..., :-2]
    along = along[..., 1:, :] + along[..., :-1, :]
    across = a[..., 2:, :] - a[..., :-2, :]
    across = across[..., 1:] + across[..., :-1]
    falling = a[..., :-1, 1:] - a[..., 1:, :-1]  # in each cell, south-east minus north-west
    rising = a[..., 1:, 1:] - a[..., :-1, :-1]  # in each cell, north-east minus south-west
    total = along[..., 1:, :] * b[..., 2:, 1:-1]
    total.addcmul_(along[..., :-1, :], b[..., :-2, 1:-1], value=-1)
    total.addcmul_(across[..., 1:], b[..., 1:-1, 2:], value=-1)
    total.addcmul_(across[..., :-1], b[..., 1:-1, :-2])
    total.addcmul_(falling[..., 1:, 1:], b[..., 2:, 2:])
    total.addcmul_(falling[..., :-1, :-1], b[..., :-2, :-2], value=-1)
    total.addcmul_(rising[..., 1:, :-1], b[..., 2:, :-2])
    total.addcmul_(rising[..., :-1, 1:], b[..., :-2, 2:], value=-1)
    return total / (12 * spacing**2)


def apply_laplacian(psi: Tensor, spacing: float) -> Tensor:
    """Apply the five-point Laplacian to a field (..., y, x), at interior points (..., y - 2, x - 2)."""
    middle = psi[..., 1:-1, 1:-1]
    around = psi[..., 2:, 1:-1] + psi[..., :-2, 1:-1] + psi[..., 1:-1, 2:] + psi[..., 1:-1, :-2]
    return (around - 4 * middle) / spacing**2


def apply_sine_transform(x: Tensor) -> Tensor:
    """Apply the sine transform of the first kind to the last two axes (..., y, x); it is its own inverse.

    Its factor is (2/n)^(1/2) per axis of n - 1 points. On a GPU it uses the Fourier transform of the odd
    extension, on a CPU scipy, which is three times as fast there.
    """
    if x.device.type == "cpu":
        return torch.from_numpy(dstn(x.numpy(), type=1, axes=(-2, -1), norm="ortho"))
    return transform_odd_extension(transform_odd_extension(x))


def transform_odd_extension(x: Tensor) -> Tensor:
    """Apply the sine transform to the last axis of (..., y, x) and swap the axes: (..., x, y)."""
    n = x.shape[-1] + 1
    wall = torch.zeros_like(x[..., :1])
    odd = torch.cat([wall, x, wall, -x.flip(-1)], -1)
    return (torch.fft.rfft(odd).imag[..., 1:n] * -math.sqrt(1 / (2 * n))).transpose(-1, -2)


def _mix_layers(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the layers of x (batch, layers, y, x) by a matrix."""
    return (matrix @ x.flatten(-2)).reshape(x.shape)


@dataclass(frozen=True)
class Basin:
    """A square basin of ``cells`` x ``cells`` over ``length`` metres; a `Simulator` and its parameters.

    The state is the potential vorticity without beta y, in s-1, at the (batch, layers, y, x) interior points,
    cells - 1 along each side. The defaults are those of Bolton and Zanna 2019 (doi:10.1029/2018MS001472).
    Raises `InputError` for invalid parameters.
    """

    cells: int = 512
    length: float = 3.84e6  # m
    depths: tuple[float, ...] = (250.0, 750.0, 3000.0)  # m, of the layers from the top
    gravities: tuple[float, ...] = (0.034, 0.018)  # m s-2, reduced, of the interfaces between them
    f0: float = 1e-4  # s-1
    beta: float = 2e-11  # m-1 s-1
    viscosity: float = 75.0  # m2 s-1
    drag: float = 4e-8  # s-1
    wind: float = 0.8  # N m-2, the amplitude of the stress
    dt: float = 1200.0  # s
    dtype: torch.dtype = torch.float64
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.cells < 3:
            raise InputError(f"a basin needs at least 3 cells along each side, not {self.cells}")
        if len(self.gravities) != len(self.depths) - 1:
            raise InputError(
                f"{len(self.depths)} layers have {len(self.depths) - 1} interfaces, but "
                f"{len(self.gravities)} reduced gravities are given"
            )
        for name in ("length", "depths", "gravities", "f0", "dt"):
            if np.min(getattr(self, name), initial=1.0) <= 0:
                raise InputError(f"the {name} of a basin must be above 0, not {getattr(self, name)}")

    @property
    def spacing(self) -> float:
        """Distance between points in metres."""
        return self.length / self.cells

    @property
    def deformation_radii(self) -> tuple[float, ...]:
        """Deformation radii of the baroclinic modes in metres, the largest first."""
        return tuple(float(value) ** -0.5 for value in self._modes[0][1:])

    @cached_property
    def coupling(self) -> Tensor:
        """A (layers, layers) in m-2, which enters the potential vorticity as -A psi."""
        return self._tensor(self._coupling)

    @cached_property
    def _coupling(self) -> np.ndarray:
        layers = len(self.depths)
        coupling = np.zeros((layers, layers))
        for i, gravity in enumerate(self.gravities):
            for k, other in ((i, i + 1), (i + 1, i)):
                strength = self.f0**2 / (gravity * self.depths[k])
                coupling[k, k] += strength
                coupling[k, other] -= strength
        return coupling

    @cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues of A, the barotropic 0 first, and the matrices from layers to modes and back."""
        root = np.sqrt(np.asarray(self.depths))
        values, vectors = np.linalg.eigh(root[:, None] * self._coupling / root)  # symmetric
        values[0] = 0.0  # exactly, without the rounding error
        return values, vectors.T * root, vectors / root[:, None]

    @cached_property
    def _to_modes(self) -> Tensor:
        return self._tensor(self._modes[1])

    @cached_property
    def _to_layers(self) -> Tensor:
        return self._tensor(self._modes[2])

    @cached_property
    def _inverse(self) -> Tensor:
        """1 / (eigenvalue of the Laplacian - eigenvalue of A), (modes, y, x), for sine waves."""
        number = np.arange(1, self.cells)
        square = (2 / self.spacing * np.sin(np.pi * number / (2 * self.cells))) ** 2
        return self._tensor(-1 / (square[:, None] + square + self._modes[0][:, None, None]))

    @cached_property
    def _wall_response(self) -> Tensor:
        """(modes, y, x) with no vorticity and 1 on the walls; 0 for the barotropic mode, which needs none."""
        values = self._tensor(self._modes[0])[:, None, None]
        inside = values.expand(-1, self.cells - 1, self.cells - 1)
        inside = apply_sine_transform(apply_sine_transform(inside) * self._inverse)
        whole = 1 + pad(inside, (1, 1, 1, 1))
        whole[0] = 0
        return whole

    @cached_property
    def _wall_response_mean(self) -> Tensor:
        mean = self.mean(self._wall_response)
        mean[0] = 1  # any divisor but 0 will do for the barotropic mode
        return mean

    @cached_property
    def planetary(self) -> Tensor:
        """beta y (y, 1), in s-1, 0 in the middle."""
        y = np.linspace(-self.length / 2, self.length / 2, self.cells + 1)
        return self._tensor(self.beta * y)[:, None]

    @cached_property
    def curl(self) -> Tensor:
        """Vorticity tendency (y, 1) of the wind in the top layer, in s-2, at interior points.

        The eastward stress is -``wind`` cos(2 pi y / length), with a subtropical gyre in the south.
        """
        y = np.arange(1, self.cells) / self.cells
        curl = -self.wind * 2 * np.pi / self.length * np.sin(2 * np.pi * y)
        return self._tensor(curl / (_DENSITY * self.depths[0]))[:, None]

    def mean(self, field: Tensor) -> Tensor:
        """Average (..., y, x) over the basin, walls included, with the trapezoidal rule."""
        weight = torch.ones(self.cells + 1, dtype=field.dtype, device=field.device)
        weight[[0, -1]] = 0.5
        weight /= self.cells
        return (field @ weight) @ weight

    def psi(self, q: Tensor) -> Tensor:
        """Invert a potential vorticity: stream function (batch, layers, cells + 1, cells + 1), in m2 s-1."""
        modes = _mix_layers(self._to_modes, q)
        psi = pad(apply_sine_transform(apply_sine_transform(modes) * self._inverse), (1, 1, 1, 1))
        wall = (
            self.mean(psi) / self._wall_response_mean
        )  # each layer keeps its mass: baroclinic modes have no mean
        wall[:, 0] = 0
        psi = psi - wall[..., None, None] * self._wall_response
        return _mix_layers(self._to_layers, psi)

    def vorticity(self, psi: Tensor) -> Tensor:
        """Compute the potential vorticity without beta y, at interior points, of a stream function."""
        return apply_laplacian(psi, self.spacing) - self._stretching(psi[..., 1:-1, 1:-1])

    def tendency(self, q: Tensor) -> Tensor:
        """Compute dq/dt, in s-2."""
        psi = self.psi(q)
        stretching = self._stretching(psi)
        zeta = pad(q + stretching[..., 1:-1, 1:-1], (1, 1, 1, 1))
        total = -compute_jacobian(psi, zeta - stretching + self.planetary, self.spacing)
        if self.viscosity:
            total += self.viscosity * apply_laplacian(zeta, self.spacing)
        total[:, 0] += self.curl
        total[:, -1] -= self.drag * zeta[:, -1, 1:-1, 1:-1]
        return total

    def energy(self, psi: Tensor) -> Tensor:
        """Compute kinetic plus available potential energy (batch,), in J m-2, of a stream function."""
        depths = self._tensor(np.asarray(self.depths))
        slopes = psi.diff(dim=-1).square().sum((-2, -1)) + psi.diff(dim=-2).square().sum((-2, -1))
        kinetic = (depths * slopes).sum(-1) / self.length**2
        over = self._tensor(self.f0**2 / np.asarray(self.gravities))
        potential = (over * self.mean(psi.diff(dim=1).square())).sum(-1)
        return _DENSITY / 2 * (kinetic + potential)

    def start(self, members: int = 1, seed: int = 0, size: float = 1e-8) -> State:
        """Return a state of rest plus noise of ``size`` s-1, different for each of ``members``."""
        shape = (members, len(self.depths), self.cells - 1, self.cells - 1)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return ((size * noise).to(self.device, self.dtype),)

    def advance(self, state: State, steps: int) -> State:
        """Advance the state by ``steps``. Raises `InputError` if it is no longer finite."""
        for _ in range(steps):
            state = adams_bashforth(self.tendency, state, self.dt)
        if not bool(state[0].isfinite().all()):
            raise InputError(
                f"the flow in the basin is no longer finite with steps of {self.dt:g} s and a viscosity of "
                f"{self.viscosity:g} m2 s-1; use a shorter step or a larger viscosity"
            )
        return state

    def snapshot(self, state: State) -> xr.Dataset:
        """Return psi (layer, y, x), preceded by ``member`` if there are several, in single precision."""
        psi = self.psi(state[0]).float().cpu().numpy()
        dims: tuple[str, ...] = ("layer", "y", "x")
        if len(psi) == 1:
            psi = psi[0]
        else:
            dims = ("member", *dims)
        points = np.linspace(0, self.length / 1e3, self.cells + 1)
        return xr.Dataset(
            {"psi": (dims, psi, {"long_name": "stream function", "units": "m2 s-1"})},
            {
                "layer": ("layer", np.arange(1, len(self.depths) + 1), {"long_name": "layer from the top"}),
                "y": ("y", points, {"long_name": "distance from the southern wall", "units": "km"}),
                "x": ("x", points, {"long_name": "distance from the western wall", "units": "km"}),
            },
        )

    def _stretching(self, psi: Tensor) -> Tensor:
        return _mix_layers(self.coupling, psi)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)
