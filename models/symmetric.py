"""A U-Net whose mean is an odd function of the anomalies: a field upside down is corrected upside down."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .unet import UNet


class SymmetricUNet(UNet):
    """A `UNet` that sees its inputs twice, the second time with the signs of the anomalies changed.

    The means of both are subtracted and halved and the log errors averaged, which makes the first odd and
    the second even, whatever the weights (Cohen and Welling 2016, arXiv 1602.07576, average over a group).
    In training it is a plain U-Net, which costs half as much: patches whose signs are drawn teach the same.
    Of ``dates`` and ``variables`` the first channels are, for each variable, the anomalies of the dates and
    then their log errors. ``options`` are those of `UNet`.
    """

    sign: Tensor  # (inputs, 1, 1) -1 for the anomalies
    turn: Tensor  # (outputs, 1, 1) -1 for the means

    def __init__(
        self, inputs: int, outputs: int = 2, dates: int = 5, variables: int = 1, **options: Any
    ) -> None:
        super().__init__(inputs, outputs, **options)
        sign = torch.ones(inputs, 1, 1)
        sign[: 2 * dates * variables].view(variables, 2, dates)[:, 0] = -1
        self.register_buffer("sign", sign, persistent=False)
        turn = torch.ones(outputs, 1, 1)
        turn[: outputs // 2] = -1
        self.register_buffer("turn", turn, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return (super().forward(x) + self.turn * super().forward(x * self.sign)) / 2
