"""What a fill needs of the memory, and how large blocks may be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import psutil

from ..errors import InputError
from ..records.blocks import BASE, CELLS, Block, cut_blocks
from ..records.subset import LEARNING
from ..settings import FillSettings
from .methods import Method

BYTES_TO_START, BYTES_TO_LEARN = BASE, LEARNING  # of the process, and for each value of a field
FILLING, _FILLING_SIMPLY = 120, 85  # bytes a value of a block, with and without a first guess
LEAST_REACH, USUAL_REACH, MOST_REACH = 12, 36, 96  # cells in the margin of a block


def default_memory() -> float:
    """Return half of the machine's memory in GB."""
    return psutil.virtual_memory().total / 2e9


def prepare_cut(
    shape: tuple[int, int, int], method: Method, settings: FillSettings, *, cyclic: bool, chunk: int = CELLS
) -> Callable[[int], list[Block]]:
    """Return the function that cuts a record of ``shape`` for a method, given the reach of its blocks.

    Raises `InputError` for settings that do not go with blocks, and where the memory is too little for the
    largest reach, which the training decides.
    """
    if settings.eofs.cv_points is not None or settings.eofs.save_eofs is not None:
        raise InputError(
            "each block has its own EOFs; leave out cv_points= and save_eofs=, or allow more memory="
        )
    cut = partial(
        cut_blocks,
        shape,
        (settings.resources.memory or default_memory()) * 1e9,
        FILLING if method.needs_first_guess else _FILLING_SIMPLY,
        n_workers=settings.resources.n_workers,
        cells=min(chunk, max(shape[1:])),
        cyclic=cyclic and method.wraps,
        whole_maps=method.whole_maps,
    )
    cut(LEAST_REACH if method.pointwise else MOST_REACH)
    return cut
