"""Two-component currents from radial velocities: a bivariate Gaussian, its projection, and derived flows.

A covariance is stored as its Cholesky factor in three maps (batch, 3, y, x): the diagonal element of the
first row, then the second row from left to right.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_RADIUS = 6.371e6  # m: the mean Earth radius of 6371.0 km that is used throughout the package


def read_bivariate(channels: Tensor, most_log: float = 4.0) -> tuple[Tensor, Tensor]:
    """Read mean (batch, 2, y, x) and factor (batch, 3, y, x) from network channels (batch, 5, y, x).

    The diagonal of the factor is an exponential, so channels of zero are a mean of zero and the identity.
    """
    mean, first, below, second = channels.split([2, 1, 1, 1], dim=1)
    first, second = (part.clamp(-most_log, most_log).exp() for part in (first, second))
    return mean, torch.cat([first, below, second], 1)


def apply_factor(factor: Tensor, current: Tensor) -> Tensor:
    """Multiply a current (batch, 2, y, x) by the factor."""
    first, below, second = factor.unbind(1)
    u, v = current.unbind(1)
    return torch.stack([first * u, below * u + second * v], 1)


def compose_factors(left: Tensor, right: Tensor) -> Tensor:
    """Multiply two factors, each (batch, 3, y, x)."""
    first, below, second = left.unbind(1)
    return torch.stack(
        [first * right[:, 0], below * right[:, 0] + second * right[:, 1], second * right[:, 2]], 1
    )


def project(mean: Tensor, factor: Tensor, towards: Tensor) -> tuple[Tensor, Tensor]:
    """Project onto unit vectors (batch, station, 2, y, x): mean and variance (batch, station, y, x)."""
    east, north = towards.unbind(2)
    first, below, second = factor[:, :, None].unbind(1)
    along = mean[:, :1] * east + mean[:, 1:] * north
    return along, (first * east + below * north) ** 2 + (second * north) ** 2


def projected_loss(
    radial: Tensor, noise: Tensor, towards: Tensor, mean: Tensor, factor: Tensor, weight: Tensor
) -> Tensor:
    """Weighted mean negative log-likelihood of radial velocities (batch, station, y, x), less log(2 pi) / 2.

    Each is Gaussian about the projected mean; its variance is the projected variance plus that of the
    ``noise``.
    """
    along, variance = project(mean, factor, towards)
    variance = variance + noise
    residual = torch.where(weight > 0, radial - along, 0.0)
    return ((variance.log() + residual**2 / variance) * weight).sum() / (2 * weight.sum().clamp(min=1e-6))


class Grid(nn.Module):
    """Derivatives, per metre, on a grid that is regular in degrees: ``lat`` (y,) and ``lon`` (x,).

    The differences along rows and columns commute, so the flow of a stream function is exactly non-divergent.
    """

    latitude: Tensor
    northward: Tensor
    eastward: Tensor

    def __init__(self, lat: Tensor, lon: Tensor) -> None:
        super().__init__()
        self.register_buffer("latitude", torch.cos(torch.deg2rad(lat))[:, None], persistent=False)
        self.register_buffer("northward", _RADIUS * torch.deg2rad(lat), persistent=False)
        self.register_buffer("eastward", _RADIUS * torch.deg2rad(lon), persistent=False)

    @property
    def row_spacing(self) -> float:
        """Distance between rows in metres."""
        return float(self.northward.diff().abs().mean())

    def differentiate_north(self, field: Tensor) -> Tensor:
        """Compute d/dy of a field (..., y, x)."""
        return torch.gradient(field, spacing=(self.northward,), dim=(-2,))[0]

    def differentiate_east(self, field: Tensor) -> Tensor:
        """Compute d/dx of a field (..., y, x)."""
        return torch.gradient(field, spacing=(self.eastward,), dim=(-1,))[0] / self.latitude

    def compute_divergence(self, current: Tensor) -> Tensor:
        """Compute the divergence (batch, y, x), 1/s, of a current (batch, 2, y, x), m/s.

        du/dx + d(v cos lat)/dy / cos lat.
        """
        u, v = current.unbind(1)
        return self.differentiate_east(u) + self.differentiate_north(v * self.latitude) / self.latitude

    def compute_flow(self, psi: Tensor) -> Tensor:
        """Compute the current (batch, 2, y, x), m/s, of a stream function (batch, y, x), m2/s.

        u = -dpsi/dy, v = dpsi/dx.
        """
        return torch.stack([-self.differentiate_north(psi), self.differentiate_east(psi)], 1)
