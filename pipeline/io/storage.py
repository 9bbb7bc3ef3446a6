"""How the variables of a filled dataset are stored: by default in the type and the packing of the input."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..settings import Packing

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 2**20
_OFF_STEP = 0.1  # steps between an observed value and the next packed one, more than rounding in float32
_FEWEST_STEPS = 50  # in the range of whole numbers without a scale; fewer would round the filled values away
_FLOAT32_DIGITS = 2**24  # whole numbers up to here are exact in float32
_MANTISSA, _KEPT = 23, 10  # bits of a float32, and those that are kept of the error of a packed variable
ROUNDED = "Rounded to 10 significant bits (0.05%)."

Storage = dict[str, Any]  # xarray's encoding of the values: dtype, scale_factor, add_offset, _FillValue ...


@dataclass(frozen=True)
class Span:
    """The range of values, and whether the observed ones among them are whole steps of a packing."""

    low: float = np.inf
    high: float = -np.inf
    exact: bool = True
    extremes: int = 0  # values that the observed ones and their spread do not bear (`extremes`)

    def join(self, other: Span) -> Span:
        """Return the span of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Span(low, high, self.exact and other.exact, self.extremes + other.extremes)


def find_storage(source: xr.DataArray) -> Storage:
    """Return how the input stores a variable; of a variable in memory, its own type."""
    encoding = source.encoding
    dtype = np.dtype(encoding.get("dtype", source.dtype)).newbyteorder("=")
    if dtype.kind not in "iuf" or dtype.itemsize < 1 or dtype == np.float16:
        dtype = np.dtype(np.float32)
    found: Storage = {"dtype": dtype}
    kept = ("scale_factor", "add_offset", "_Unsigned") if dtype.kind in "iu" else ()
    found |= {key: encoding[key] for key in kept if encoding.get(key) is not None}
    fill = encoding.get("_FillValue", encoding.get("missing_value"))
    if fill is None:
        unsigned = str(found.get("_Unsigned")).lower() == "true"
        default = -1 if unsigned else netCDF4.default_fillvals.get(dtype.str[1:], -1)
        fill = np.nan if dtype.kind == "f" else default
    found["_FillValue"] = np.asarray(fill).ravel()[0].astype(dtype)
    return found


def write_storage(storage: Storage) -> str:
    """Return a storage as text, with the types of its numbers."""
    held = {
        key: value if isinstance(value, str) else [np.asarray(value).dtype.str, np.asarray(value).item()]
        for key, value in storage.items()
        if key != "dtype"
    }
    return json.dumps(held | {"dtype": storage["dtype"].str})


def read_storage(text: str) -> Storage:
    """Return what `write_storage` wrote."""
    held = json.loads(text)
    numbers = {
        key: value if isinstance(value, str) else np.dtype(value[0]).type(value[1])
        for key, value in held.items()
    }
    return numbers | {"dtype": np.dtype(held["dtype"])}


def is_packed(storage: Storage) -> bool:
    """Whether values are stored as whole numbers."""
    return bool(storage["dtype"].kind in "iu")


def needs_double(storage: Storage) -> bool:
    """Whether float32 cannot hold every stored value."""
    return bool(storage["dtype"].itemsize > (2 if is_packed(storage) else 4))


def measure_span(
    values: NDArray[np.floating], storage: Storage, observed: NDArray[np.bool_] | None = None
) -> Span:
    """Return the span of values; the ``observed`` ones are compared to the steps of the packing."""
    low, high = (
        float(extreme.reduce(values, axis=None, initial=start))
        for extreme, start in ((np.fmin, np.inf), (np.fmax, -np.inf))
    )
    if observed is None or not is_packed(storage):
        return Span(low, high)
    steps = _to_steps(values[observed].astype(np.float64), storage)
    return Span(low, high, bool((np.abs(steps - np.rint(steps)) < _OFF_STEP).all()))


def find_limits(storage: Storage) -> tuple[float, float]:
    """Return the least and the greatest value that a packing holds."""
    low, high = _find_whole_limits(storage)
    scale, offset = (float(storage.get(key, start)) for key, start in _LINEAR)
    ends = sorted((low * scale + offset, high * scale + offset))
    return ends[0], ends[1]


def choose_storage(storage: Storage, span: Span, pack: str, name: str) -> Storage:
    """Return the storage of the input where values of this span fit into it, else a float.

    A fill value inside the range counts as not fitting. Where ``pack`` is "auto", a float that is not the
    input's is logged as a warning.
    """
    if not is_packed(storage):
        return storage
    whole = max((abs(_to_steps(end, storage)) for end in (span.low, span.high)), default=0.0)
    double = needs_double(storage) and (not np.isfinite(whole) or whole > _FLOAT32_DIGITS)
    kind = np.dtype(np.float64 if double else np.float32)
    plain = {"dtype": kind, "_FillValue": kind.type(np.nan)}
    if pack == "none":
        return plain
    if span.low > span.high:  # no value at all
        return storage
    low, high = sorted(float(np.rint(_to_steps(end, storage))) for end in (span.low, span.high))
    least, greatest = _find_whole_limits(storage)
    scaled = "scale_factor" in storage
    wrong = ""
    if low < least or high > greatest:
        limits = find_limits(storage)
        wrong = f"their range, {span.low:.4g} to {span.high:.4g}, exceeds {limits[0]:.4g} to {limits[1]:.4g}"
    elif low <= _as_whole(storage) <= high:
        wrong = f"the fill value {storage['_FillValue']} lies in their range"
    elif not span.exact:
        wrong = "not all observed values have the same packing"
    elif not scaled and high - low < _FEWEST_STEPS:
        wrong = f"they range over {high - low:.0f} whole numbers only, which is too coarse"
    if not wrong:
        return storage
    _log.warning("%s: stored as %s and not packed as %s: %s", name, kind, storage["dtype"], wrong)
    return plain


def encode_filled(
    data: xr.Dataset, name: str, time: str, storage: Storage, spans: Mapping[str, Span], packing: Packing
) -> None:
    """Set how the variables of a filled dataset are stored, in place.

    The variable ``name``, its analysis and its bounds are stored as the input (`choose_storage`), from their
    ``spans``. The error is a float32; that of a packed variable is rounded to 10 bits (Kloewer et al. 2021,
    doi:10.1038/s43588-021-00156-2), for a linear packing would make zero of small errors.
    """
    # One type for both: a file in which the analysis is packed and the values are not helps nobody.
    both = spans.get(name, Span()).join(spans.get(f"{name}_analysis", Span()))
    chosen = choose_storage(storage, both, packing.pack, name)
    for key, array in data.data_vars.items():
        how: Storage = {"dtype": array.dtype, "_FillValue": None}
        if key in (name, f"{name}_analysis"):
            how = chosen
        elif key in spans:
            how = choose_storage(storage, spans[str(key)], packing.pack, str(key))
        elif array.dtype.kind == "f":
            how = {"dtype": np.dtype(np.float32), "_FillValue": np.float32(np.nan)}
        array.encoding = _compress(array, how["dtype"], time, packing.complevel) | how
    error = f"{name}_error"
    if is_packed(chosen):
        data[error] = data[error].copy(data=round_mantissa(data[error].data))
        data[error].attrs.setdefault("comment", ROUNDED)


def round_mantissa(values: Any) -> Any:
    """Round float32 to 10 significant bits, to even; works for lazy values too."""
    if not isinstance(values, np.ndarray):
        return values.map_blocks(round_mantissa, dtype=values.dtype)
    bits = values.astype(np.float32).view(np.uint32)
    lost = _MANTISSA - _KEPT
    half = ((bits >> np.uint32(lost)) & np.uint32(1)) + np.uint32((1 << (lost - 1)) - 1)
    rounded = (bits + half) & np.uint32(~((1 << lost) - 1) & 0xFFFFFFFF)
    return np.where(np.isfinite(values), rounded.view(np.float32), values)


_LINEAR: Sequence[tuple[str, float]] = (("scale_factor", 1.0), ("add_offset", 0.0))


def _to_steps(values: Any, storage: Storage) -> Any:
    scale, offset = (float(storage.get(key, start)) for key, start in _LINEAR)
    return (values - offset) / scale


def _is_unsigned(storage: Storage) -> bool:
    return str(storage.get("_Unsigned")).lower() == "true"


def _as_whole(storage: Storage) -> int:
    """Return the fill value as a number of steps."""
    fill = int(storage["_FillValue"])
    return fill + (1 << 8 * storage["dtype"].itemsize) if _is_unsigned(storage) and fill < 0 else fill


def _find_whole_limits(storage: Storage) -> tuple[int, int]:
    """Return the least and the greatest number of steps, without the fill value at an end."""
    dtype = storage["dtype"]
    info = np.iinfo(f"u{dtype.itemsize}" if _is_unsigned(storage) else dtype)
    low, high, fill = int(info.min), int(info.max), _as_whole(storage)
    return low + (fill == low), high - (fill == high)


def _compress(array: xr.DataArray, dtype: np.dtype[Any], time: str, complevel: int) -> dict[str, Any]:
    """Return compression, and chunks of one date, cut into equal pieces of at most a megabyte."""
    rows = array.sizes[next(dim for dim in array.dims if dim != time)]
    one_date = array.size // array.sizes[time] * dtype.itemsize
    pieces = min(ceil(one_date / _CHUNK_BYTES), rows)
    chunks = [1 if dim == time else array.sizes[dim] for dim in array.dims]
    chunks[next(i for i, dim in enumerate(array.dims) if dim != time)] = ceil(rows / pieces)
    return {"zlib": complevel > 0, "complevel": complevel, "shuffle": True, "chunksizes": tuple(chunks)}
