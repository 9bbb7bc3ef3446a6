"""Two-layer quasi-geostrophic turbulence in a doubly periodic square (Phillips 1954; Vallis 2017, ch. 6).

In each layer the potential vorticity anomaly q obeys

    dq/dt + J(psi, q) + U dq/dx + Q_y dpsi/dx = drag,    q_1 = lap psi_1 + F_1 (psi_2 - psi_1),

with the same form of q_2, F_1 = 1 / (rd^2 (1 + delta)), F_2 = delta F_1, and the mean gradients Q_y1 = beta +
F_1 U, Q_y2 = beta - F_2 U of a mean shear U. Pseudo-spectral, in torch, batched over members; parameters,
filter and time stepping are those of pyqg (Abernathey et al., doi:10.5281/zenodo.6563667).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from .running import State, adams_bashforth

_FILTERS = ("exponential", "two-thirds", "none")
_CUTOFF, _STEEPNESS = 0.65 * np.pi, 23.6  # of the exponential filter, as wavenumber times cell size


@dataclass(frozen=True)
class TwoLayer:
    """The square and its flow, in SI units; a `Simulator` and its parameters.

    The state is the transform of q (member, 2, y, x wavenumber), complex. ``filter`` ends each step:
    ``exponential`` removes variance that reaches the smallest scales; ``two-thirds`` only removes wavenumbers
    whose products would be aliased, so that energy and enstrophy are conserved without drag; ``none`` removes
    nothing.
    """

    cells: int = 64  # along each side
    length: float = 1e6  # m
    beta: float = 1.5e-11  # 1 / (m s)
    deformation_radius: float = 15e3  # m
    thickness_ratio: float = 0.25  # of the upper layer to the lower
    upper: float = 0.025  # m / s, mean flow of the upper layer
    lower: float = 0.0  # m / s, mean flow of the lower layer
    drag: float = 5.787e-7  # 1 / s, in the lower layer
    dt: float = 7200.0  # s
    filter: str = "exponential"
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raise ValueError for another filter and for an odd number of cells."""
        if self.filter not in _FILTERS or self.cells % 2:
            raise ValueError(
                f"filter {self.filter!r} is not one of {_FILTERS}, or the number of cells {self.cells} is odd"
            )

    def start(self, members: int, seed: int = 0, speed: float = 0.01) -> State:
        """Return a random flow of root-mean-square ``speed`` (m/s) near the deformation radius."""
        rng = torch.Generator().manual_seed(seed)
        noise = torch.randn(members, 2, self.cells, self.cells, dtype=torch.float64, generator=rng)
        scale = self._squared.cpu().sqrt() * self.deformation_radius
        psi_hat = torch.fft.rfft2(noise) * (scale * torch.exp(-(scale**2)))
        square = self._average_square(self._squared.cpu() * psi_hat.abs() ** 2).mean(1)
        return (self._q_hat(psi_hat * (speed / square.sqrt()).view(-1, 1, 1, 1)),)

    def make_state(self, psi: Tensor) -> State:
        """Compute the state of stream functions (member, 2, y, x), m2/s."""
        return (self._q_hat(torch.fft.rfft2(psi.double())),)

    def psi(self, state: State) -> Tensor:
        """Compute the stream functions (member, 2, y, x), m2/s, of a state."""
        return torch.fft.irfft2(self._psi_hat(state[0]), s=(self.cells, self.cells))

    def advance(self, state: State, steps: int) -> State:
        """Advance the state by ``steps``."""
        for _ in range(steps):
            after, *tendencies = adams_bashforth(self.tendency, state, self.dt)
            state = (after * self._filter, *tendencies)
        return state

    def tendency(self, q: Tensor) -> Tensor:
        """Compute dq/dt of transforms (member, 2, y, x wavenumber)."""
        psi = self._psi_hat(q)
        flow = torch.cat([psi * self._u_from_psi, psi * self._ik, q], dim=1)
        u, v, vorticity = torch.fft.irfft2(flow, s=(self.cells, self.cells)).chunk(3, dim=1)
        fluxes = torch.fft.rfft2(torch.cat([(u + self._mean_flow) * vorticity, v * vorticity], dim=1))
        along, across = fluxes.chunk(2, dim=1)
        return self._linear * psi - self._ik * along + self._u_from_psi * across

    def energy(self, state: State) -> Tensor:
        """Compute kinetic plus potential energy (member,), m2/s2, averaged over both layers."""
        psi = self._psi_hat(state[0])
        share = self._shares.view(2, 1, 1)
        kinetic = (share * self._squared * psi.abs() ** 2).sum(1)
        stretching = self._shares[0] * self._f1 * (psi[:, 0] - psi[:, 1]).abs() ** 2
        return self._average_square(kinetic + stretching) / 2

    def enstrophy(self, state: State) -> Tensor:
        """Compute the enstrophy (member, 2) of each layer, 1/s2."""
        return self._average_square(state[0].abs() ** 2) / 2

    def growth_rates(self) -> Tensor:
        """Compute the growth rate (y, x wavenumber), 1/s, of the faster linear wave at each wavenumber."""
        inverse = self._inverse64.movedim((0, 1), (-2, -1)).to(torch.complex128)
        flow = torch.tensor([self.upper, self.lower], dtype=torch.complex128)
        gradients = torch.tensor(self._gradients, dtype=torch.complex128)
        k = self._wavenumbers[1].to(torch.complex128)[..., None, None]
        matrix = -1j * k * (torch.diag(flow) + gradients[:, None] * inverse)
        matrix[..., 1, :] += self.drag * self._squared[..., None] * inverse[..., 1, :]
        return torch.linalg.eigvals(matrix).real.amax(-1)

    def snapshot(self, state: State) -> xr.Dataset:
        """Return ``psi`` (member, layer, y, x), m2/s, in single precision."""
        psi = self.psi(state).float().cpu().numpy()
        centres = (np.arange(self.cells) + 0.5) * (self.length / self.cells)
        place: dict[str, Any] = {"units": "m"}
        return xr.Dataset(
            {
                "psi": (
                    ("member", "layer", "y", "x"),
                    psi,
                    {"units": "m2 s-1", "long_name": "stream function"},
                )
            },
            {"y": ("y", centres, place), "x": ("x", centres, place)},
        )

    def _q_hat(self, psi_hat: Tensor) -> Tensor:
        upper, lower = psi_hat.to(self.device).unbind(1)
        squared = self._squared.to(self.device)
        q = [
            -squared * upper + self._f1 * (lower - upper),
            -squared * lower + self.thickness_ratio * self._f1 * (upper - lower),
        ]
        return torch.stack(q, dim=1).to(self._complex) * self._filter

    def _psi_hat(self, q: Tensor) -> Tensor:
        return (self._inverse * q[:, None]).sum(2)

    def _average_square(self, density: Tensor) -> Tensor:
        """Average a quadratic quantity (..., y, x wavenumber) over the square."""
        twice = torch.full((self.cells // 2 + 1,), 2.0, dtype=density.dtype, device=density.device)
        twice[[0, -1]] = 1.0
        return (density * twice).sum((-2, -1)) / self.cells**4

    @property
    def _f1(self) -> float:
        return self.deformation_radius**-2 / (1 + self.thickness_ratio)

    @property
    def _gradients(self) -> tuple[float, float]:
        shear = self.upper - self.lower
        return self.beta + self._f1 * shear, self.beta - self.thickness_ratio * self._f1 * shear

    @property
    def _complex(self) -> torch.dtype:
        return torch.complex128 if self.dtype == torch.float64 else torch.complex64

    @cached_property
    def _wavenumbers(self) -> tuple[Tensor, Tensor]:
        """Wavenumbers along y and x (y, x), 1/m, in double precision."""
        spacing = self.length / self.cells / (2 * np.pi)
        along_y = torch.fft.fftfreq(self.cells, spacing, dtype=torch.float64)
        along_x = torch.fft.rfftfreq(self.cells, spacing, dtype=torch.float64)
        return tuple(torch.meshgrid(along_y, along_x, indexing="ij"))  # type: ignore[return-value]

    @cached_property
    def _squared(self) -> Tensor:
        along_y, along_x = self._wavenumbers
        return (along_y**2 + along_x**2).to(self.device)

    @cached_property
    def _inverse64(self) -> Tensor:
        """(2, 2, y, x) psi from q; the mean of psi is zero."""
        f1, f2, squared = self._f1, self.thickness_ratio * self._f1, self._squared.cpu()
        determinant = squared * (squared + f1 + f2)
        determinant[0, 0] = -torch.inf
        inverse = torch.stack([squared + f2, squared * 0 + f1, squared * 0 + f2, squared + f1])
        return (-inverse / determinant).unflatten(0, (2, 2))

    @cached_property
    def _inverse(self) -> Tensor:
        return self._inverse64.to(self.device, self.dtype)

    @cached_property
    def _ik(self) -> Tensor:
        return (1j * self._wavenumbers[1]).to(self.device, self._complex)

    @cached_property
    def _u_from_psi(self) -> Tensor:
        return (-1j * self._wavenumbers[0]).to(self.device, self._complex)

    @cached_property
    def _linear(self) -> Tensor:
        """(2, y, x) linear coefficients of psi: the mean gradients and the drag."""
        rows = [-1j * self._wavenumbers[1] * gradient for gradient in self._gradients]
        rows[1] = rows[1] + self.drag * self._squared.cpu()
        return torch.stack(rows).to(self.device, self._complex)

    @cached_property
    def _mean_flow(self) -> Tensor:
        return torch.tensor([self.upper, self.lower], dtype=self.dtype, device=self.device).view(2, 1, 1)

    @cached_property
    def _shares(self) -> Tensor:
        """(2,) fraction of the depth in each layer."""
        ratio = self.thickness_ratio
        return torch.tensor([ratio, 1.0], dtype=self.dtype, device=self.device) / (1 + ratio)

    @cached_property
    def _filter(self) -> Tensor:
        along_y, along_x = (wave * (self.length / self.cells) for wave in self._wavenumbers)
        if self.filter == "exponential":
            beyond = (torch.hypot(along_y, along_x) - _CUTOFF).clamp(min=0)
            kept = torch.exp(-_STEEPNESS * beyond**4)
        else:
            third = 2 * np.pi / 3 if self.filter == "two-thirds" else np.inf
            kept = ((along_y.abs() < third) & (along_x < third)).double()
        return kept.to(self.device, self.dtype)
