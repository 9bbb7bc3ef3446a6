"""What `fill` does with inputs that are larger than the memory: prepare them, fill them block by block."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..errors import InputError
from ..io.reading import Inputs, list_inputs
from ..records.blocks import BASE
from ..records.prepare import prepare
from ..records.record import Record, read_digest
from ..records.subset import LEARNING, SPAN
from ..records.survey import Request, survey_file
from .blockwise import default_memory, fill_record

_log = logging.getLogger(__name__)

_WITHOUT_NEIGHBOURS = ("dineof", "climatology", "persistence", "linear-time")


def needs_blocks(
    inputs: Inputs, opening: Mapping[str, Any], method: str = "unet", memory: float | None = None
) -> bool:
    """Whether these inputs are filled block by block.

    That are those for which `fill.fill` would need more than ``memory`` (GB, half of the machine's), and
    those on a grid around the globe, for methods that look at neighbours: only `fill_record` knows that its
    last column's are in the first one.
    """
    paths = [entry for entry in list_inputs(inputs) if isinstance(entry, str)]
    known = {key: opening[key] for key in ("variable", "mask_variable", "region", "period") if key in opening}
    found = [survey_file(path, Request(**known)) for path in paths]
    values = sum(len(one.dates) * int(np.prod(one.shape)) for one in found if not one.wrong)
    if BASE + LEARNING * values > (memory or default_memory()) * 1e9:
        return True
    return method not in _WITHOUT_NEIGHBOURS and any(one.cyclic for one in found)


def check_several(
    inputs: Inputs, opening: Mapping[str, Any], number: int, memory: float | None, asked: bool
) -> None:
    """Raise `InputError` where a first variable and ``number - 1`` more are too large to be filled in memory.

    Or where what they are not filled with was ``asked`` for: blocks.
    """
    # A method that does not look at neighbours: the size alone decides.
    if asked or needs_blocks(inputs, opening, _WITHOUT_NEIGHBOURS[0], (memory or default_memory()) / number):
        raise InputError(
            f"{number} variables are filled together in memory and not block by block; leave out --workers, "
            "--cluster and --cache, choose a smaller --region or --period, or allow more --memory"
        )


def fill_large(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    opening: Mapping[str, Any],
    cache: str | os.PathLike[str] | None = None,
    cluster: str | None = None,
    number: int = 1,
    quiet: bool = True,
    **how: Any,
) -> xr.Dataset:
    """Prepare the inputs, unless they are a store of `prepare`, fill them, and return some of the result.

    Without a ``cache`` the store is beside the output and goes when that is complete. ``opening`` are options
    of `open_field`, ``how`` those of `fill_record`.
    """
    given = dict(opening)
    of_record = {
        key: given.pop(key) for key in ("observation_error", "transform", "error_variable") if key in given
    }
    listed = list_inputs(inputs)
    place = Path(output).with_name(f".{Path(output).name}.cache.zarr")
    store = Path(cache or place)
    if len(listed) == 1 and isinstance(listed[0], str) and read_digest(listed[0]) is not None:
        if given:
            raise InputError(
                f"{listed[0]}: is prepared already, and too large to be cut here; give "
                f"{', '.join('--' + name.replace('_', '-') for name in given)} to `oceanfill prepare`"
            )
        store = Path(listed[0])
    else:
        _log.info("filled block by block; prepared for that in %s", store)
        if "error_variable" in of_record:
            given["error_variable"] = of_record["error_variable"]
        prepare(inputs, store, cluster=cluster, number=number, quiet=quiet, **given)
    record = Record(str(store), **of_record)
    fill_record(record, output, cluster=cluster, number=number, quiet=quiet, **how)
    name, time, middle = record.layout.variable, record.layout.t, record.shape[0] // 2
    if cache is None and store == place:
        shutil.rmtree(store)
    engine: dict[str, Any] = {"engine": "zarr"} if Path(output).suffix == ".zarr" else {"engine": "netcdf4"}
    with xr.open_dataset(output, **engine) as filled:
        some = filled[[name, *(f"{name}_{what}" for what in ("analysis", "error", "source"))]]
        return some.isel({time: slice(max(0, middle - SPAN // 2), middle + SPAN // 2)}).load()
