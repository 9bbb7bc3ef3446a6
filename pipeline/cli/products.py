"""The commands ``export`` and ``derive``, and the options of ``fill`` that write a product."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..derived.options import USES
from ..errors import InputError
from .options import add_overwrite, positive

if TYPE_CHECKING:
    from ..io.opening import Opening
    from ..io.reading import Inputs

_log = logging.getLogger("oceanfill")
FORMATS = {
    "ghrsst": "GHRSST level 4 (GDS 2.1)",
    "cmems-ssh": "heights and geostrophic currents of Copernicus Marine",
    "cmems-oc": "gap-free chlorophyll of Copernicus Marine",
}


def add_attributes(command: argparse.ArgumentParser) -> None:
    """Add the options for global attributes."""
    given = command.add_argument_group("attributes")
    given.add_argument(
        "--attribute",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="global attribute of the output, as creator_name=...; may be repeated",
    )
    given.add_argument("--attributes", metavar="FILE.yaml", help="YAML file with global attributes")


def add_format(command: argparse.ArgumentParser, required: bool = False) -> None:
    """Add the options that say in which format a product is written."""
    product = command.add_argument_group("the product")
    names = ", ".join(f"{name} ({what})" for name, what in FORMATS.items())
    also = "format: " if required else "also write the product to the folder OUT_FORMAT next to OUT.nc, as "
    product.add_argument(
        "--format", choices=FORMATS, required=required, metavar="FORMAT", help=f"{also}{names}"
    )
    product.add_argument(
        "--ice",
        metavar="FILE",
        help="sea ice concentration on any grid, for ghrsst and cmems-ssh",
    )
    product.add_argument(
        "--mdt",
        metavar="FILE",
        help="mean dynamic topography (m) on any grid, for cmems-ssh: adt = sla + mdt",
    )


def add_export(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``export``."""
    command.add_argument("filled", metavar="FILLED", help="file or Zarr store that `oceanfill fill` wrote")
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="folder for one file a date, or a name that ends in .nc for one series",
    )
    add_overwrite(command)
    command.add_argument(
        "--variable", metavar="NAME", help="filled variable (default: the first of its kind)"
    )
    add_format(command, required=True)
    add_attributes(command)


def add_derive(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``derive``."""
    command.add_argument("filled", metavar="FILLED", help="file or Zarr store that `oceanfill fill` wrote")
    command.add_argument("--what", required=True, choices=USES, metavar="WHAT", help=", ".join(USES))
    command.add_argument(
        "-o", "--output", required=True, metavar="OUT.nc", help="file or Zarr store to write"
    )
    add_overwrite(command)
    command.add_argument("--variable", metavar="NAME", help="filled variable (default: the first)")
    command.add_argument(
        "--length",
        type=positive(float),
        metavar="KM",
        help="correlation length of the errors, for geostrophic and gradient (default: from the samples of "
        "the file, or else the covariance that was fitted)",
    )
    command.add_argument(
        "--threshold",
        type=positive(float),
        metavar="GRADIENT",
        help="least gradient of a front, in units per km (default: the 90th percentile)",
    )
    command.add_argument(
        "--climatology",
        metavar="FILE",
        help="longer record of the variable on the same grid, for anomalies and heatwaves (default: FILLED)",
    )
    command.add_argument("--baseline", metavar="START/END", help="dates of the climatology")
    command.add_argument(
        "--truth",
        metavar="FILE",
        help="maps or points along tracks, for resolution (default: the samples of FILLED)",
    )
    command.add_argument(
        "--span",
        type=positive(float),
        metavar="KM",
        help="length of the segments, for resolution (default: 500)",
    )
    add_attributes(command)


def run_export(options: argparse.Namespace) -> None:
    """Write a filled file in the format of a product."""
    _write(options, options.filled, options.output, options.variable)


def run_derive(options: argparse.Namespace) -> None:
    """Derive a quantity from a filled file."""
    from ..derived.derive import derive
    from ..derived.options import DeriveOptions

    dataset = derive(
        options.filled,
        options.output,
        what=options.what,
        variable=options.variable,
        attributes=read_given(options),
        overwrite=options.overwrite,
        **{name: getattr(options, name) for name in DeriveOptions.__dataclass_fields__},
    )
    _log.info("wrote %s (%s)", options.output, ", ".join(map(str, dataset.data_vars)))


def read_given(options: argparse.Namespace) -> dict[str, str | int | float]:
    """Return the global attributes that were given."""
    from ..formats.attributes import read_attributes

    return read_attributes(options.attribute, options.attributes)


def check_fill(options: argparse.Namespace, files: Inputs, own: Opening, kind: str) -> None:
    """Raise `InputError` where ``fill --format`` cannot be written; call it before a long computation."""
    if options.format is None:
        if options.ice is not None or options.mdt is not None:
            raise InputError("ice= and mdt= are for a product; give its format=, or leave them out")
        return
    from ..formats.export import check_options, check_product_folder, check_variable

    if kind == "radials":
        raise InputError("no product holds currents from radial velocities; leave out format=")
    check_options(options.format, ice=options.ice, mdt=options.mdt)
    folder = name_folder(options)
    check_product_folder(folder)
    if folder.is_dir() and any(folder.iterdir()) and not options.overwrite:
        raise InputError(f"{folder}: exists; add overwrite=True or choose another name")
    if kind == "field":
        check_variable(files, own, options.format)


def write_product(options: argparse.Namespace) -> None:
    """Write the product of a file that was filled."""
    _write(options, options.output, name_folder(options), None)


def name_folder(options: argparse.Namespace) -> Path:
    """Return the folder of the product next to the output of ``fill``."""
    output = Path(options.output)
    return output.with_name(f"{output.stem}_{options.format}")


def _write(options: argparse.Namespace, filled: Any, target: str | Path, variable: str | None) -> None:
    from ..formats.export import export

    written = export(
        filled,
        target,
        format=options.format,
        variable=variable,
        ice=options.ice,
        mdt=options.mdt,
        attributes=read_given(options),
        overwrite=options.overwrite,
    )
    what = str(written[0]) if len(written) == 1 else f"{len(written)} files to {target}"
    _log.info("wrote %s", what)
