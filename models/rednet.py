"""RED-Net (Mao, Shen and Yang 2016, arXiv 1606.08921): convolutions, then deconvolutions, without pooling.

Differences here: the output has other channels than the input and is itself a correction, so the outermost
skip, from the image to the restored image, is omitted; the last layer starts at zero; the default width is 32
maps (paper: 64), because every map is at full resolution.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .head import zero_weights


class REDNet(nn.Module):
    """RED-Net: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    It has ``depth`` layers (RED10, RED20, RED30): one half are 3 x 3 convolutions, the other half 3 x 3
    deconvolutions. The output of every second convolution is added to that of the mirrored deconvolution,
    before its ReLU. Raises ValueError for an odd depth.
    """

    def __init__(self, inputs: int, outputs: int = 2, depth: int = 20, width: int = 32) -> None:
        super().__init__()
        if depth < 2 or depth % 2:
            raise ValueError(f"depth must be an even number of at least 2, not {depth}")
        half = depth // 2
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width if layer else inputs, width, 3, padding=1) for layer in range(half)
        )
        self.deconvolutions = nn.ModuleList(
            nn.ConvTranspose2d(width, width, 3, padding=1) for _ in range(half - 1)
        )
        self.head = zero_weights(nn.ConvTranspose2d(width, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for convolution in self.convolutions:
            x = functional.relu(convolution(x))
            skips.append(x)
        skips.pop()  # the deconvolutions start from this one
        for deconvolution in self.deconvolutions:
            x = deconvolution(x)
            mirrored = skips.pop()
            if len(skips) % 2:  # from the second, fourth, ... convolution
                x = x + mirrored
            x = functional.relu(x)
        return self.head(x)
