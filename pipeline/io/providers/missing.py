"""Missing values: declared, also as text, outside the valid range, infinite, and never declared at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .quantities import can_be_zero

VALID_RANGE = "outside the valid range of the file"
INFINITE = "infinite"
SPECIAL = "special values that the file lists"
OUT_OF_BOUNDS = "outside the bounds of values"
IMPOSSIBLE = "beyond 1e+19"
GIVEN = "given as missing"
ROUNDING = 1e-4  # excess over the bounds, relative to their distance
_UNDECLARED = "the undeclared missing value"  # followed by the value

_DEFAULT_FILL = 0.99 * float(netCDF4.default_fillvals["f4"])  # netCDF's value where nothing was written
# Values that stand for missing ones in the files of many providers.
_USUAL = (
    *(sign * (10**digits - 1) for digits in range(2, 7) for sign in (-1, 1)),
    *(
        -32768,
        -32767,
        32767,
        65535,
        1e10,
        -1e10,
        1e20,
        -1e20,
        1e30,
        -1e30,
        1e34,
        -1e34,
        1e35,
        1e36,
        9.96921e36,
    ),
)
_OUTERMOST = 6  # distinct values kept at each end of an `Extent`
_SAMPLE = 5000  # values that are sorted to find these
_REPEATED = 3  # times that a value must occur that no provider is known to use
# Distance from all others, in units of their whole range, from which a value is no measurement.
_FAR, _FAR_IF_USUAL, _FAR_IF_OBVIOUS = 10.0, 2.0, 0.5
_IMPOSSIBLE = 1e19  # beyond all quantities of the sea
_FEW = 6  # distinct ones of these that are counted one by one

WRONG_PACKING = "wrong_packing"  # attribute: why the numbers of a variable cannot be unpacked


@dataclass(frozen=True)
class Extent:
    """The outermost distinct values of a record and how often each occurs; extents of its parts add up.

    So the same values are recognised whether a record is read at once or in parts.
    """

    values: NDArray[np.float32]  # (n,) increasing: the lowest and the highest, or all where they are few
    counts: NDArray[np.int64]  # (n,)

    @staticmethod
    def of(values: NDArray[np.floating]) -> Extent:
        """Return that of an array of any shape, NaN where missing."""
        flat = values.astype(np.float32, copy=False).ravel()
        found: dict[float, int] = {}
        for sign in (1, -1):
            found |= {sign * value: count for value, count in _count_lowest(sign * flat).items()}
        order = sorted(found)
        return Extent(np.array(order, np.float32), np.array([found[value] for value in order], np.int64))

    def __add__(self, other: Extent) -> Extent:
        values, place = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([self.counts, other.counts]), len(values))
        outermost = np.r_[0:_OUTERMOST, len(values) - _OUTERMOST : len(values)]
        kept = outermost if len(values) > len(outermost) else slice(None)
        return Extent(values[kept], counts.astype(np.int64)[kept])


NOTHING = Extent(np.zeros(0, np.float32), np.zeros(0, np.int64))  # that of no values


def _count_lowest(values: NDArray[np.float32]) -> dict[float, int]:
    """Return the lowest distinct values of an array with NaN and their counts."""
    sample = np.unique(values[:: max(1, len(values) // _SAMPLE)])
    sample = sample[np.isfinite(sample)]
    # Some values are sure to hold enough distinct ones, which saves sorting them all.
    most = sample[_OUTERMOST - 1] if len(sample) >= _OUTERMOST else np.float32(np.inf)
    left = values[values <= most]
    found: dict[float, int] = {}
    while left.size and len(found) < _OUTERMOST:
        value = float(left.min())
        kept = left[left > left.dtype.type(value)]
        found[value] = left.size - kept.size
        left = kept
    return found


def find_undeclared(extent: Extent, name: str, array: xr.DataArray) -> tuple[float, ...]:
    """Return the values of a record that stand for missing ones without being declared.

    They lie far from all others, measured by the range of these: values that are usual for this purpose and
    the ends of packed integers, zero where the quantity is never zero, and any other that occurs repeatedly
    much farther away. Clipped and skewed values, ice at its freezing point and zeros among anomalies are not
    far from the next ones. ``array`` has the attributes and the encoding of the variable.
    """
    values, counts = extent.values.astype(np.float64), extent.counts
    impossible = np.abs(values) > _IMPOSSIBLE
    found = list(values[impossible])
    possible, number = values[~impossible], counts[~impossible]
    # From the inside, where all other values lie: the rest takes in its neighbours until one is too far.
    if len(values) == 2 * _OUTERMOST:
        low = _OUTERMOST - 1 - int(np.count_nonzero(values[impossible] < 0))
        high = low + 1
    else:
        low = len(possible) // 4
        high = len(possible) - 1 - low
    if not 0 <= low < high < len(possible):
        return tuple(found)
    known = np.array([*_USUAL, *_find_packed_ends(array)], np.float32).astype(np.float64)
    zero = not can_be_zero(name, array.attrs)
    grows = True
    while grows:
        grows = False
        for step in (-1, 1):
            edge = low if step < 0 else high
            if not 0 <= edge + step < len(possible):
                continue
            value = possible[edge + step]
            is_known = bool(np.isin(value, known))
            if not _is_far(value, int(number[edge + step]), possible[low], possible[high], is_known, zero):
                low, high = (edge + step, high) if step < 0 else (low, edge + step)
                grows = True
    found += [*possible[:low], *possible[high + 1 :]]
    return tuple(float(value) for value in sorted(found))


def _is_far(value: float, count: int, low: float, high: float, known: bool, zero: bool) -> bool:
    """Whether a value lies too far outside of the range of the others to be one of them."""
    gap, extent = max(low - value, value - high), high - low
    if value == 0:
        return zero and count >= _REPEATED and gap > _FAR_IF_OBVIOUS * extent
    if known:
        obvious = value < 0 <= low and count >= _REPEATED
        far = gap > (_FAR_IF_OBVIOUS if obvious else _FAR_IF_USUAL) * extent
        # Two nines may be a measurement among skewed values.
        return far and (abs(value) > 100 or count >= _REPEATED)
    far = count >= _REPEATED and gap > _FAR * extent and gap > max(abs(low), abs(high))
    if far and low > 0 and value > 0:  # skewed values, clipped at a limit
        return bool(abs(np.log(value / (high if value > high else low))) > np.log(high / low))
    return far


def _find_packed_ends(array: xr.DataArray) -> list[float]:
    """Return the ends of the range of packed integers, unpacked."""
    stored = np.dtype(array.encoding.get("dtype", array.dtype))
    if stored.kind not in "iu" or "scale_factor" not in array.encoding:
        return []
    limits = np.iinfo(stored)
    scale, offset = float(array.encoding["scale_factor"]), float(array.encoding.get("add_offset", 0))
    return [end * scale + offset for end in (limits.min, limits.min + 1, limits.max, limits.max - 1)]


def name_undeclared(value: float) -> str:
    """Return the reason for which an undeclared value is counted as lost."""
    return f"{_UNDECLARED} {value:g}"


def warn_of_losses(lost: Mapping[str, int], left: int) -> list[str]:
    """Return in words what is odd about the values taken as missing, of which ``left`` others remain."""
    warnings = []
    for reason, count in lost.items():
        if reason.startswith(_UNDECLARED):
            value = reason.removeprefix(f"{_UNDECLARED} ")
            warnings.append(
                f"the value {value} occurs {count} times, far from all others, so it is taken as missing; "
                f"say so with missing_value=({value},), or keep it with missing_value=()"
            )
        elif reason == IMPOSSIBLE:
            warnings.append(
                f"values beyond 1e+19, taken as missing: {count}; keep them with missing_value=()"
            )
        elif reason == INFINITE:
            warnings.append(f"infinite values, taken as missing: {count}")
        elif reason == OUT_OF_BOUNDS:
            warnings.append(f"values outside their bounds, taken as missing: {count}")
        elif reason == VALID_RANGE and count > left:
            warnings.append(
                f"most values ({count}) lie outside the valid range of the file and are taken as missing; "
                "keep them with ignore_valid_range=True if it is wrong"
            )
    return warnings


def warn_of_kept(values: Sequence[float]) -> list[str]:
    """Return in words which values look like missing ones although an option keeps them."""
    return [
        f"the value {value:g} looks like a missing one, but missing_value= does not name it; it is kept"
        for value in values
    ]


def declare_numbers(dataset: xr.Dataset) -> xr.Dataset:
    """Return a raw dataset whose missing values and packing are numbers where they are text.

    ``missing_value`` and ``_FillValue`` also get the type of their variable, because -999.9 is another number
    in double precision. A ``scale_factor`` or ``add_offset`` by which nothing can be unpacked becomes the
    attribute `WRONG_PACKING`.
    """
    raw, dataset = dataset, dataset.copy()
    dataset.set_close(raw.close)
    for array in dataset.variables.values():
        for key in ("missing_value", "_FillValue"):
            given = array.attrs.get(key)
            if given is None or array.dtype.kind not in "iuf":
                continue
            numbers = _parse_numbers(given)
            fitting = [number for number in numbers if _fits(number, array.dtype)]
            if fitting:
                typed = np.array(fitting, array.dtype)
                array.attrs[key] = typed if len(typed) > 1 and key == "missing_value" else typed[0]
            else:
                del array.attrs[key]
        for key in ("scale_factor", "add_offset"):
            given = array.attrs.get(key)
            if given is None or array.dtype.kind not in "iuf":
                continue
            found = _parse_numbers(given)
            if len(found) == 1 and np.isfinite(found[0]) and (found[0] or key == "add_offset"):
                # xarray unpacks with the precision of the number.
                array.attrs[key] = found[0] if isinstance(given, str | bytes) else given
            else:
                del array.attrs[key]
                array.attrs[WRONG_PACKING] = f"its {key} is {given!r}"
    return dataset


def _parse_numbers(given: Any) -> list[float]:
    words: Iterable[Any] = np.ravel(given)
    if isinstance(given, str | bytes):
        text = given.decode(errors="replace") if isinstance(given, bytes) else given
        words = text.strip("\0 []").replace(",", " ").split()
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            continue
    return numbers


def _fits(number: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return bool(number == np.rint(number)) and limits.min <= number <= limits.max


def mask_invalid(
    array: xr.DataArray,
    missing: Sequence[float] | None = None,
    ignore_valid_range: bool = False,
    bounds: Sequence[float] | None = None,
) -> tuple[NDArray[np.floating], dict[str, int]]:
    """Return the values, NaN where they cannot be used, and how many were lost for which reason.

    These are infinite values, special ones that the file lists, those given as ``missing`` (where none are
    listed, those beyond all quantities of the sea), those outside valid_min, valid_max or valid_range unless
    that is ignored, and those outside the ``bounds`` by more than rounding. CF 2.5.1 and the NetCDF Users'
    Guide, appendix B: for packed integers the limits refer to the packed values, unless they are written as
    real numbers.
    """
    values = array.to_numpy().astype(np.result_type(array.dtype, np.float32))
    lost: dict[str, int] = {}

    def lose(reason: str, excluded: NDArray[np.bool_]) -> None:
        count = int(np.count_nonzero(excluded))
        if count:
            values[excluded] = np.nan
            lost[reason] = lost.get(reason, 0) + count

    lose(INFINITE, np.isinf(values))
    lose(SPECIAL, _find_special(array, values))
    for value in missing or ():
        lose(GIVEN, np.isclose(values, value, rtol=1e-6, atol=0))
    if missing is None:
        impossible = np.abs(values) > _IMPOSSIBLE
        distinct = np.unique(values[impossible])
        for value in distinct[:_FEW] if len(distinct) <= _FEW else ():
            lose(name_undeclared(float(value)), values == value)
        lose(IMPOSSIBLE, np.abs(values) > _IMPOSSIBLE)
    if not ignore_valid_range:
        # What is not declared is recognised later, and is not the fault of the valid range.
        impossible = np.abs(values) > _IMPOSSIBLE
        lose(VALID_RANGE, _exceeds_valid_range(array, values) & ~impossible)
    if bounds is not None:
        rounding = ROUNDING * (bounds[1] - bounds[0])
        lose(OUT_OF_BOUNDS, (values < bounds[0] - rounding) | (values > bounds[1] + rounding))
    return values, lost


def mask_default_fill(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the values, NaN at netCDF's default fill value."""
    return np.where(np.abs(values) > _DEFAULT_FILL, values.dtype.type(np.nan), values)


def _find_special(array: xr.DataArray, values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return where packed values are among the variable's own flags, as 254 for land (NSIDC, RSS)."""
    flags, scale = array.attrs.get("flag_values"), array.encoding.get("scale_factor", 1)
    if flags is None or isinstance(flags, str) or scale == 1:
        return np.zeros(values.shape, bool)
    packed = np.rint((values - float(array.encoding.get("add_offset", 0))) / float(scale))
    return np.isin(packed, np.ravel(flags))


def _exceeds_valid_range(array: xr.DataArray, values: NDArray[np.floating]) -> NDArray[np.bool_]:
    stored = np.dtype(array.encoding.get("dtype", array.dtype))
    scale, offset = (
        float(array.encoding.get(key, default)) for key, default in (("scale_factor", 1), ("add_offset", 0))
    )
    limits = array.attrs.get("valid_range")
    if limits is None or np.size(limits) != 2:
        limits = array.attrs.get("valid_min"), array.attrs.get("valid_max")
    excluded = np.zeros(values.shape, bool)
    for limit, beyond in zip(limits, (np.less, np.greater), strict=True):
        if limit is None or isinstance(limit, str):
            continue
        if stored.kind in "iu" and np.asarray(limit).dtype.kind in "iu":
            unsigned = str(array.encoding.get("_Unsigned")).lower() == "true" and limit < 0
            packed_limit = int(limit) + (1 << (8 * stored.itemsize) if unsigned else 0)
            excluded |= beyond(np.rint((values - offset) / scale), packed_limit)
        else:
            excluded |= beyond(values, values.dtype.type(limit))
    return excluded
