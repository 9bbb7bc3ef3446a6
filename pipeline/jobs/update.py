"""Adding dates to a filled file with all that its fill has fitted: `oceanfill update`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..classical.neighbours import find_date_reach
from ..errors import InputError
from ..io.alignment import concatenate, restore_grid
from ..io.field import Field
from ..io.layout.coordinates import is_time
from ..io.layout.dates import format_date, format_dates
from ..io.output import (
    SOURCES,
    choose_time_encoding,
    describe_time_coverage,
    measure_spans,
    summarise_field,
    to_dataset,
)
from ..io.reading import Inputs
from ..io.storage import encode_filled, find_storage
from ..io.targets import check_targets, list_paths, lock
from ..io.writing import check_writable, write_dataset
from ..settings import FillSettings, Packing, Training, choose_device
from ..training.data import GapData
from ..training.features import YEAR, make_static_features
from ..training.heldout import DataSettings
from .calls import describe_inputs, write_value
from .dependent import find_provisional, find_users, mark_provisional, widen
from .evaluate import apply_shrinkage
from .methods import Candidate, find_method
from .observations import Extended, Filled, Product, extend, find_fitted, open_products

_log = logging.getLogger(__name__)

Mask = NDArray[np.bool_]


def update(
    filled: Filled,
    new: Inputs,
    output: str | os.PathLike[str] | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    trust: bool = False,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    quiet: bool = True,
) -> xr.Dataset:
    """Add new dates to a filled field, and refill the dates that they change.

    Nothing is fitted again: the covariance, the mean of each pixel, the network and the calibration of the
    error are those of the fill, from the attributes of the product. Observations of a date that is there
    replace its old ones.

    Parameters
    ----------
    filled
        A file, store or dataset that `fill` made in memory, by optimal interpolation or a network that
        corrects it; or one that was updated before. Several variables are those of one input.
    new
        The new observations: files, a glob, or a dataset, on the grid of the product. They are opened by the
        options of the fill.
    output
        The NetCDF file or Zarr store to write.
    checkpoint
        Where the network of the fill is now, if it is not the one that ships or where it was.
    trust
        Whether networks of other packages, which the checkpoint names, are imported.
    attributes
        Global attributes of the result.
    overwrite
        Whether an ``output`` that exists is replaced; without an ``output``, the file ``filled`` itself.
    device
        "auto", "cpu" or "cuda".
    quiet
        Whether to hide progress.

    Returns
    -------
    xarray.Dataset
        The product with the new dates. Dates without a new one in reach are those of before to the bit.
        ``provisional(time)`` marks the dates that later ones still change.

    Raises
    ------
    InputError
        For a product that cannot be updated, for dates that do not go with it, and where nothing is new.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> filled = oceanfill.fill("sample:sst_clouds.nc", method="oi", **part)
    >>> later = oceanfill.open_field("sample:sst_clouds.nc", period="2024-04-11/2024-04-12").source
    >>> updated = oceanfill.update(filled, later)
    >>> filled.sizes["time"], updated.sizes["time"], int(updated.sst.isnull().sum())
    (10, 12, 0)
    """
    target = _check_target(filled, new, output, overwrite)
    settings = FillSettings(training=Training(trust=trust), holdout=False, device=device, quiet=quiet)
    with lock(target):
        products = open_products(filled)
        networks = [_find_network(product, checkpoint, trust) for product in products]
        extended = [extend(product, new) for product in products]
        first, given = products[0], extended[0].given
        if not any(one.changed.any() for one in extended):
            raise InputError(
                f"{given.file}: has nothing new: {first.file} holds {format_dates(given.dates)} with the "
                "same values; give later dates"
            )
        made = [_update_variable(*one, settings) for one in zip(products, extended, networks, strict=True)]
        dataset, provisional = made[0]
        for other, later in made[1:]:
            dataset, provisional = dataset.assign(other.data_vars), provisional | later
        static = [array for array in first.data.data_vars.values() if first.layout.t not in array.dims]
        dataset = dataset.assign({array.name: array for array in static})
        words = [write_value(part) for part in (filled, new, *([] if output is None else [output]))]
        about = {"command": f"oceanfill.update({', '.join(words)})"} | dict(attributes or {})
        about |= {"update_checksums": describe_inputs([new])}
        dataset.attrs = _make_attributes(products, dataset, extended[0].field, about)
        dataset = mark_provisional(dataset, provisional, first.layout.t)
        if target is not None:
            write_dataset(dataset, target)
    return dataset


def _update_variable(
    product: Product, extended: Extended, network: tuple[str, int] | None, settings: FillSettings
) -> tuple[xr.Dataset, Mask]:
    """Return the updated dataset of one variable, and which of its dates (time,) are provisional."""
    path, window = network or (None, 1)
    field, fitted = extended.field, product.fitted
    provisional = find_provisional(field, fitted.kriging, window)
    refilled = _find_changed(product, extended, window)
    if not refilled.any():
        return product.data[product.parts], provisional
    estimated = widen(refilled, field, window)
    _check_errors(product, extended, estimated)
    count = int((extended.place < 0).sum()), int((extended.changed & (extended.place >= 0)).sum())
    message = "%s: %d new dates and %d corrected ones; %d of %d are filled, from %s on"
    first = format_date(field.dates[int(np.argmax(refilled))])
    _log.info(message, field.name, *count, refilled.sum(), len(refilled), first)
    settings = replace(settings, training=replace(settings.training, checkpoint=path))
    piece = _fill_dates(product, field, refilled, estimated, settings)
    return _join(product, extended, refilled, piece), provisional


def _check_target(filled: Filled, new: Inputs, output: Any, overwrite: bool) -> Path | None:
    """Return what is to be written. Raises `InputError` where it cannot be."""
    if isinstance(filled, list | tuple):
        raise InputError("there are several filled files; give one, and then the new dates")
    here = None if isinstance(filled, xr.Dataset) else Path(filled)
    if output is None and not overwrite:
        return None
    if output is None and here is not None and not here.exists():
        raise InputError(f"{here}: no such file; check the path")
    if output is None and here is None:
        raise InputError("the product is in memory, and overwrite= replaces files; give output= too")
    target = Path(output) if output is not None else here
    assert target is not None  # one of both was given
    check_writable(target)
    in_place = here is not None and target.resolve() == here.resolve()
    if in_place and not overwrite:
        raise InputError(f"{target}: is the product itself; add overwrite=True or choose another name")
    check_targets([target], list_paths([new] if in_place else [filled, new]), overwrite=overwrite)
    return target


def _find_network(product: Product, given: Any, trust: bool) -> tuple[str, int] | None:
    """Return the checkpoint of a product's network and its window; None for optimal interpolation alone.

    Raises `InputError` where it was not kept or is another one.
    """
    network = product.fitted.network
    if network is None:
        return None
    # torch takes seconds to import
    from ..training.checkpoints import find_network, hash_weights, read_checkpoint

    path = os.fspath(given) if given is not None else find_network(network["file"])
    if not path:
        raise InputError(
            f"{product.file}: its network was trained for it and not kept; fill it once with save_checkpoint="
        )
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such file, the network that filled {product.file}; say where it is with checkpoint="
        )
    kept = read_checkpoint(path, trust=trust)
    if hash_weights(kept.state) != network["sha256"]:
        raise InputError(
            f"{path}: is another network than the one that filled {product.file}; give that one with "
            "checkpoint=, or fill it once with `oceanfill fill`"
        )
    return path, int(kept.options.get("window", 5))


def _find_changed(product: Product, extended: Extended, window: int) -> Mask:
    """Find the dates (time,) whose estimate depends on observations that have changed.

    These are among their neighbours, or among those of a date in their window.
    """
    field, changed, place = extended.field, extended.changed, extended.place
    found = find_users(field, product.fitted.kriging, changed)
    corrected = changed & (place >= 0)
    if corrected.any():  # what was a neighbour and is none any more
        seen = np.isfinite(product.read(product.name)) & field.sea
        before = np.where(place[:, None, None] >= 0, seen[place], False)
        old = replace(field, values=np.where(before, np.float32(0), np.float32(np.nan)))
        found |= find_users(old, product.fitted.kriging, corrected)
    return widen(found | changed, field, window)


def _check_errors(product: Product, extended: Extended, estimated: Mask) -> None:
    """Raise `InputError` where dates that are ``estimated`` use observations of unknown errors."""
    lacking, field = ~extended.has_error, extended.field
    if not lacking.any():
        return
    kriging, first = product.fitted.kriging, int(np.argmax(estimated))
    if (lacking & estimated).any() or kriging.find_dependent(field, lacking, estimated).any():
        first = max(0, first - find_date_reach(field, kriging.scales))
        raise InputError(
            f"{product.file}: does not hold the errors of its observations "
            f"({product.fitted.opening.error_variable}), which those near the new dates need; give the "
            f"inputs from {format_date(field.dates[first])} on again, with the new ones"
        )


def _fill_dates(
    product: Product, field: Field, refilled: Mask, estimated: Mask, settings: FillSettings
) -> xr.Dataset:
    """Return the filled dataset of some dates, whose windows are among the ``estimated`` ones."""
    fitted = product.fitted
    first = find_fitted(product, field.dates)
    long = bool(np.ptp(field.days[first]) >= YEAR)
    data = GapData(
        field,
        DataSettings(held_out=0.0, device=choose_device(settings.device), quiet=settings.quiet),
        kriging=fitted.kriging,
        static=make_static_features(field, long=long),
    )
    data.estimated = estimated
    (candidates,) = find_method(fitted.method)(data, settings)
    made: Candidate = candidates[fitted.candidate]
    if fitted.shrinkage is not None:
        made = apply_shrinkage(made, fitted.shrinkage)
    chosen = np.flatnonzero(refilled)
    error = fitted.scale.of_estimate(field, made)[chosen]
    part = field.part(chosen)
    filled = to_dataset(
        part,
        made.estimate[0][chosen],
        error,
        noise=fitted.scale.noise,
        intervals=fitted.scale.calibration.half_widths_of(_find_levels(product)),
        packing=_find_packing(product),
    )
    return restore_grid(filled, part.source, product.layout)


def _find_levels(product: Product) -> Sequence[int]:
    """Return the levels of the prediction intervals of a product."""
    before = f"{product.name}_lower_"
    return [
        int(str(key).removeprefix(before)) for key in product.data.data_vars if str(key).startswith(before)
    ]


def _find_packing(product: Product) -> Packing:
    """Return how a product is stored."""
    given = json.loads(product.data.attrs.get("configuration", "{}"))
    return Packing(**{name: given[name] for name in Packing.__dataclass_fields__ if name in given})


def _join(product: Product, extended: Extended, refilled: Mask, piece: xr.Dataset) -> xr.Dataset:
    """Return a variable of the product with the dates of ``piece`` in place of those of before."""
    layout, name, field = product.layout, product.name, extended.field
    old, names = product.data, product.parts
    same = np.flatnonzero(~refilled)
    whole = piece[names]
    if same.size:
        whole = concatenate([old[names].isel({layout.t: extended.place[same]}), whole], layout.t)
        order = np.argsort(np.concatenate([same, np.flatnonzero(refilled)]))
        whole = whole.isel({layout.t: order})
    for key in names:
        whole[key] = whole[key].transpose(*old[key].dims)
        whole[key].attrs = dict(old[key].attrs)
    flags = whole[f"{name}_source"]
    flags.attrs["flag_values"] = np.asarray(flags.attrs["flag_values"], flags.dtype)  # a store has no types
    for place, array in old.coords.items():
        whole[place].attrs, whole[place].encoding = dict(array.attrs), dict(array.encoding)
        kept = choose_time_encoding(whole[place]) if is_time(array) else array.encoding
        kept = {} if whole[place].isnull().any() else kept  # whole numbers cannot be missing
        whole[place].encoding = {**kept, "_FillValue": None}  # CF 2.5.1: coordinates are complete
    storage, spans = find_storage(old[name]), measure_spans(field, whole, False)
    if not spans[name].exact:
        _log.warning("%s: new values are rounded to the steps of %s", name, product.file)
    spans = {key: replace(span, exact=True) for key, span in spans.items()}
    encode_filled(whole, name, layout.t, storage, spans, _find_packing(product))
    return whole


def _make_attributes(
    products: Sequence[Product], whole: xr.Dataset, field: Field, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the global attributes of a product, updated."""
    attrs = dict(products[0].data.attrs)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for product in products:
        before, after = (_summarise(product, dataset) for dataset in (product.data, whole))
        attrs["summary"] = str(attrs.get("summary", "")).replace(before, after)
    attrs |= describe_time_coverage(whole[products[0].layout.time].values, field.days)
    attrs["history"] = f"{attrs['history']}\n" if attrs.get("history") else ""
    attrs["history"] += f"{now}: {about['command']}"
    others = {key: value for key, value in about.items() if key != "command"}
    return attrs | {"date_modified": now, "update_command": about["command"]} | others


def _summarise(product: Product, dataset: xr.Dataset) -> str:
    """Return the summary of a variable in a dataset, as a fill writes it."""
    name, t, analysis = product.name, product.layout.t, dataset[f"{product.name}_analysis"]
    seen = (dataset[f"{name}_source"] == SOURCES.index("observed")) & analysis.notnull()
    cells = int(analysis.notnull().any(t).sum()) * dataset.sizes[t]
    return summarise_field(name, str(dataset[name].attrs["long_name"]), int(seen.sum()), cells)
