"""Convolutional recurrent networks that read a window of dates from both ends towards its middle.

ConvLSTM (Shi et al. 2015, arXiv 1506.04214) and ConvGRU (after Ballas et al. 2015, arXiv 1511.06432).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .head import zero_weights
from .unet import ResidualBlock, UNet, pad_to_multiple


def count_channels_per_date(inputs: int, dates: int, variables: int = 1) -> int:
    """Count the channels that `split_dates` gives each date.

    Raises ValueError for inputs that are not a window.
    """
    if dates < 1 or dates % 2 == 0 or inputs < 2 * variables * dates:
        raise ValueError(
            f"{inputs} inputs are not a window of an odd number of dates ({dates}), each with its anomaly "
            "and log error"
        )
    return inputs - 2 * variables * (dates - 1)


def split_dates(x: Tensor, dates: int, variables: int = 1) -> Tensor:
    """Split the channels of a window by date: (batch, dates, 2 variables + rest, y, x).

    The network inputs (batch, 2 variables dates + rest, y, x) hold, for each variable, the anomalies of all
    dates and then their log errors; the remaining channels follow. Each date gets its own anomalies and log
    errors and a copy of the remaining channels.
    """
    dated = 2 * variables * dates
    each = x[:, :dated].unflatten(1, (2 * variables, dates)).transpose(1, 2)
    common = x[:, None, dated:].expand(-1, dates, -1, -1, -1)
    return torch.cat([each, common], dim=2)


class Recurrent(nn.Module):
    """Reads dates in order: (batch, dates, inputs, y, x) to the state after the last (batch, hidden, y, x).

    A subclass defines the number of its ``GATES`` and `apply_gates`. With one of the ``dimensions`` the grid
    is x alone.
    """

    GATES: int

    def __init__(self, inputs: int, hidden: int, kernel: int = 3, dimensions: int = 2) -> None:
        super().__init__()
        self.hidden = hidden
        convolution = (nn.Conv1d, nn.Conv2d)[dimensions - 1]
        self.of_input = convolution(inputs, self.GATES * hidden, kernel, padding=kernel // 2)
        self.of_state = convolution(hidden, self.GATES * hidden, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        # One convolution for all dates, with the dates outermost: splitting them copies nothing.
        first, *others = self.of_input(x.transpose(0, 1).flatten(0, 1)).split(len(x))
        nothing = first.new_zeros(len(first), self.hidden, *first.shape[2:])
        bias = self.of_state.bias
        assert bias is not None  # the convolution of an output of zero
        state = self.apply_gates(first, bias.reshape(1, -1, *[1] * nothing[0, 0].dim()), nothing, nothing)
        for date in others:
            state = self.step(date, *state)
        return state[0]

    def step(self, driven: Tensor, output: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Advance output and memory (batch, hidden, y, x) by one date with the convolved input ``driven``."""
        return self.apply_gates(driven, self.of_state(output), output, memory)

    def apply_gates(
        self, driven: Tensor, recalled: Tensor, output: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Advance output and memory with the convolved input and the convolved output ``recalled``.

        Both are (batch, GATES x hidden, y, x).
        """
        raise NotImplementedError


class ConvLSTM(Recurrent):
    """Input, forget and output gates and a memory (Shi et al., eq. 3).

    With ``peephole`` the gates also depend on the memory. Difference here: a peephole has one weight per
    channel, where the paper has one per channel and pixel, which fixes the grid. The gates are in the order
    of torch.nn.LSTM: input, forget, new, output.
    """

    GATES = 4

    def __init__(
        self, inputs: int, hidden: int, kernel: int = 3, peephole: bool = False, dimensions: int = 2
    ) -> None:
        super().__init__(inputs, hidden, kernel, dimensions)
        one = torch.zeros(3, hidden, *[1] * dimensions)
        self.peephole = nn.Parameter(one) if peephole else None

    def apply_gates(
        self, driven: Tensor, recalled: Tensor, output: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        enter, forget, new, leave = (driven + recalled).chunk(4, dim=1)
        if self.peephole is not None:
            enter, forget = enter + self.peephole[0] * memory, forget + self.peephole[1] * memory
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
        if self.peephole is not None:
            leave = leave + self.peephole[2] * memory
        return torch.sigmoid(leave) * torch.tanh(memory), memory


class ConvGRU(Recurrent):
    """Reset and update gates; the output is the only memory.

    Difference from Ballas et al.: the reset gate acts on the convolved state, as in torch.nn.GRU, so one
    convolution of the state serves all gates. The gates are in the order of torch.nn.GRU: reset, update, new.
    """

    GATES = 3

    def apply_gates(
        self, driven: Tensor, recalled: Tensor, output: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        of_input, of_state = driven.chunk(3, dim=1), recalled.chunk(3, dim=1)
        reset, update = (torch.sigmoid(a + b) for a, b in zip(of_input[:2], of_state[:2], strict=True))
        new = torch.tanh(of_input[2] + reset * of_state[2])
        output = new + update * (output - new)
        return output, output


class Bidirectional(nn.Module):
    """State at the middle date of a window: (batch, dates, inputs, y, x) to (batch, 2 hidden, y, x).

    One cell reads from the first date to the middle, the other from the last date to the middle. Raises
    ValueError for a ``cell`` other than ``lstm`` and ``gru``, and for a ``gru`` with ``peephole``.
    """

    def __init__(self, inputs: int, hidden: int, cell: str, kernel: int = 3, peephole: bool = False) -> None:
        super().__init__()
        if cell not in ("lstm", "gru") or (cell == "gru" and peephole):
            raise ValueError(
                f"cell must be lstm, or gru without peephole, not {cell!r} (peephole: {peephole})"
            )

        def make_cell() -> Recurrent:
            return (
                ConvGRU(inputs, hidden, kernel)
                if cell == "gru"
                else ConvLSTM(inputs, hidden, kernel, peephole)
            )

        self.forwards, self.backwards = make_cell(), make_cell()

    def forward(self, x: Tensor) -> Tensor:
        middle = x.shape[1] // 2
        return torch.cat([self.forwards(x[:, : middle + 1]), self.backwards(x[:, middle:].flip(1))], dim=1)


class RecurrentFiller(nn.Module):
    """Recurrent gap filler: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    It fills the middle one of ``dates``; `split_dates` describes the network inputs. Two cells (``lstm`` or
    ``gru``) of ``hidden`` channels read the anomaly and log error of each date. A residual block of ``width``
    channels combines their states with the full inputs. With ``fold`` above one all layers work on a coarser
    grid, as in `UNet`. Raises ValueError for another cell, for a ``gru`` with ``peephole`` and for a fold
    below one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        dates: int = 5,
        cell: str = "lstm",
        hidden: int = 24,
        kernel: int = 3,
        peephole: bool = False,
        fold: int = 1,
        variables: int = 1,
        width: int = 24,
    ) -> None:
        super().__init__()
        if fold < 1:
            raise ValueError(f"fold must be at least 1, not {fold}")
        count_channels_per_date(inputs, dates, variables)  # raises if the inputs are not a window
        self.dates, self.variables, self.fold = dates, variables, fold
        self.both = Bidirectional(2 * variables * fold**2, hidden, cell, kernel, peephole)
        self.join = ResidualBlock(2 * hidden + inputs * fold**2, width)
        self.head = zero_weights(nn.Conv2d(width, outputs * fold**2, 1))

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        x = functional.pixel_unshuffle(pad_to_multiple(x, self.fold), self.fold)
        kinds, square = 2 * self.variables, self.fold**2
        each = x[:, : kinds * self.dates * square].unflatten(1, (kinds, self.dates, square))
        states = self.both(each.transpose(1, 2).flatten(2, 3))
        x = self.head(self.join(torch.cat([states, x], dim=1)))
        return functional.pixel_shuffle(x, self.fold)[..., :rows, :columns]


class RecurrentUNet(UNet):
    """U-Net through time: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    It fills the middle one of ``dates``; `split_dates` describes the network inputs. Every date is encoded
    with the same weights. A recurrent ``cell`` (``lstm`` or ``gru``) combines the dates at the deepest level,
    or at ``every`` level; the remaining levels pass on the middle date only. ``widths`` must be even.
    ``skips`` and ``fold`` are those of `UNet`. Raises ValueError for another cell.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        dates: int = 5,
        widths: Sequence[int] = (16, 32, 64),
        cell: str = "lstm",
        every: bool = False,
        skips: str = "concatenate",
        fold: int = 1,
        variables: int = 1,
    ) -> None:
        super().__init__(
            count_channels_per_date(inputs, dates, variables), outputs, widths, skips=skips, fold=fold
        )
        self.dates, self.variables = dates, variables
        self.through_time = nn.ModuleList(
            Bidirectional(width, width // 2, cell) for width in (widths if every else widths[-1:])
        )

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        levels = [
            level.unflatten(0, (-1, self.dates))
            for level in self.encode(split_dates(x, self.dates, self.variables).flatten(0, 1))
        ]
        alone = len(levels) - len(self.through_time)
        middle = [level[:, self.dates // 2] for level in levels[:alone]]
        joined = [join(level) for join, level in zip(self.through_time, levels[alone:], strict=True)]
        return self.decode(middle + joined)[..., :rows, :columns]
