"""The network of Bolton and Zanna 2019 (doi:10.1029/2018MS001472): what smaller scales do to the flow."""

from __future__ import annotations

from torch import Tensor, nn

SIDE = 40  # cells of a tile


class BoltonZanna(nn.Module):
    """A tile of the target (batch, 1, 40, 40) from a tile of the filtered stream function, both standardised.

    Convolutions without padding, 16 of 8 x 8 every two cells and twice 8 of 4 x 4, each with SELU; the
    largest of 2 x 2; one linear layer to all cells: 325,728 parameters. With ``centred`` the spatial mean of
    the tile is taken away at the end, so that no momentum is made in it (their variant A).
    """

    def __init__(self, centred: bool = False) -> None:
        super().__init__()
        self.centred = centred
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 8, stride=2),
            nn.SELU(),
            nn.Conv2d(16, 8, 4),
            nn.SELU(),
            nn.Conv2d(8, 8, 4),
            nn.SELU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(200, SIDE**2),
            nn.Unflatten(1, (1, SIDE, SIDE)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (1, SIDE, SIDE):
            raise ValueError(f"the network sees tiles of 1 x {SIDE} x {SIDE}, not {tuple(x.shape[1:])}")
        said = self.layers(x)
        return said - said.mean((-2, -1), keepdim=True) if self.centred else said
