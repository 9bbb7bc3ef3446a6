"""Recurrent networks for time series: cells and one loop over time.

RNN (Elman 1990, doi:10.1207/s15516709cog1402_1), LSTM (Hochreiter and Schmidhuber 1997,
doi:10.1162/neco.1997.9.8.1735, with the forget gate of Gers et al. 2000) and GRU (Cho et al. 2014, arXiv
1406.1078), with the equations and the gate order of torch.nn, so weights can be exchanged. A cell is the
folded form of a network; `unroll` unfolds it in time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .convolutional_recurrent import count_channels_per_date, split_dates
from .head import zero_weights


class Cell(nn.Module):
    """One time step: input (batch, inputs) and state (batch, STATES x hidden) to the next state.

    The first ``hidden`` values of the state are the output. A subclass defines the number of its ``GATES``,
    the number of tensors in its state (``STATES``), and `step`.
    """

    GATES: int
    STATES = 1

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.of_input = nn.Linear(inputs, self.GATES * hidden)
        self.of_state = nn.Linear(hidden, self.GATES * hidden)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        return self.step(self.of_input(x), state)

    def step(self, driven: Tensor, state: Tensor) -> Tensor:
        """Return the next state, given the transformed input ``driven`` (batch, GATES x hidden)."""
        raise NotImplementedError


class RNN(Cell):
    """h' = f(W x + U h + b), with f the hyperbolic tangent or, with ``sigmoid``, the sigmoid."""

    GATES = 1

    def __init__(self, inputs: int, hidden: int, sigmoid: bool = False) -> None:
        super().__init__(inputs, hidden)
        self.activation = torch.sigmoid if sigmoid else torch.tanh

    def step(self, driven: Tensor, state: Tensor) -> Tensor:
        return self.activation(driven + self.of_state(state))


class LSTM(Cell):
    """Input, forget, candidate and output gates; the state consists of output and memory."""

    GATES = 4
    STATES = 2

    def step(self, driven: Tensor, state: Tensor) -> Tensor:
        output, memory = state.chunk(2, dim=-1)
        enter, keep, candidate, show = (driven + self.of_state(output)).chunk(4, dim=-1)
        memory = torch.sigmoid(keep) * memory + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.cat([torch.sigmoid(show) * torch.tanh(memory), memory], dim=-1)


class GRU(Cell):
    """Reset and update gates and a candidate; as in torch.nn, the reset acts after the matrix product."""

    GATES = 3

    def step(self, driven: Tensor, state: Tensor) -> Tensor:
        reset, update, candidate = driven.chunk(3, dim=-1)
        of_reset, of_update, of_candidate = self.of_state(state).chunk(3, dim=-1)
        candidate = torch.tanh(candidate + torch.sigmoid(reset + of_reset) * of_candidate)
        keep = torch.sigmoid(update + of_update)
        return keep * state + (1 - keep) * candidate


def unroll(cell: Cell, x: Tensor) -> Tensor:
    """Return the states (batch, time, STATES x hidden) after each input (batch, time, inputs).

    The first state is zero.
    """
    state = x.new_zeros(len(x), cell.STATES * cell.hidden)
    states = []
    for driven in cell.of_input(x).unbind(1):  # one product for all times: only the state needs the loop
        state = cell.step(driven, state)
        states.append(state)
    return torch.stack(states, dim=1)


class RecurrentStep(nn.Module):
    """A one-step model with memory: its state is x (batch, size) followed by the state of the cell.

    x' = x + W h', where h' is the output of the cell after reading x. W starts at zero, i.e. as persistence.
    `start` builds the state from observed states.
    """

    def __init__(self, cell: Cell, size: int) -> None:
        super().__init__()
        self.cell, self.size = cell, size
        self.change = zero_weights(nn.Linear(cell.hidden, size))

    def start(self, past: Tensor) -> Tensor:
        """Build the state that follows at least two observed states (batch, time, size)."""
        return torch.cat([past[:, -1], unroll(self.cell, past[:, :-1])[:, -1]], dim=-1)

    def forward(self, state: Tensor) -> Tensor:
        x, memory = state[:, : self.size], state[:, self.size :]
        memory = self.cell(x, memory)
        return torch.cat([x + self.change(memory[:, : self.cell.hidden]), memory], dim=-1)


class BothWays(nn.Module):
    """Reads a series from both ends: (batch, inputs, time) to (batch, outputs, time).

    Schuster and Paliwal 1997 (doi:10.1109/78.650093). The cells ``ahead`` and ``back`` have the same inputs.
    The last layer starts at zero.
    """

    def __init__(self, ahead: Cell, back: Cell, outputs: int) -> None:
        super().__init__()
        self.ahead, self.back = ahead, back
        self.head = zero_weights(nn.Linear(ahead.hidden + back.hidden, outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        ahead = unroll(self.ahead, x)[..., : self.ahead.hidden]
        back = unroll(self.back, x.flip(1)).flip(1)[..., : self.back.hidden]
        return self.head(torch.cat([ahead, back], dim=-1)).transpose(1, 2)


class PixelFiller(nn.Module):
    """Pixelwise gap filler: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    It fills the middle one of ``dates`` in each pixel from that pixel's own series, read in both directions.
    `convolutional_recurrent.split_dates` describes the network inputs. ``cell`` is ``rnn``, ``lstm`` or
    ``gru``. Raises ValueError for another cell.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        dates: int = 5,
        cell: str = "lstm",
        hidden: int = 16,
        variables: int = 1,
    ) -> None:
        super().__init__()
        kinds: dict[str, type[Cell]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
        if cell not in kinds:
            raise ValueError(f"cell {cell!r} is not one of {', '.join(kinds)}")
        self.dates, self.variables = dates, variables
        ahead, back = (
            kinds[cell](count_channels_per_date(inputs, dates, variables), hidden) for _ in range(2)
        )
        self.both = BothWays(ahead, back, outputs)

    def forward(self, x: Tensor) -> Tensor:
        # (batch, y, x, channels, dates)
        pixels = split_dates(x, self.dates, self.variables).permute(0, 3, 4, 2, 1)
        filled = self.both(pixels.flatten(0, 2))[..., self.dates // 2]
        return filled.unflatten(0, pixels.shape[:3]).movedim(-1, 1)
