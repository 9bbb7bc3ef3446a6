"""The network of Bolton and Zanna 2019 (doi:10.1029/2018MS001472), which predicts eddy momentum forcing."""

from __future__ import annotations

from torch import Tensor, nn

SIDE = 40  # cells along each side of a tile


class BoltonZanna(nn.Module):
    """Maps tiles of the filtered stream function to tiles of the target, both standardised.

    All tiles are (batch, 1, 40, 40). Convolutions without padding, 16 of 8 x 8 with stride 2 and twice 8 of 4
    x 4, each followed by SELU; maximum pooling over 2 x 2 cells; one linear layer to all cells: 325,728
    parameters. With ``centred`` the spatial mean of the output tile is subtracted, so no net momentum is
    added to it (variant A of the paper). Calling it raises ValueError for tiles of another size.
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
            raise ValueError(f"the network needs tiles of 1 x {SIDE} x {SIDE}, not {tuple(x.shape[1:])}")
        output = self.layers(x)
        return output - output.mean((-2, -1), keepdim=True) if self.centred else output
