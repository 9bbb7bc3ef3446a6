"""Files with groups, such as the level 2 files of NASA's Ocean Biology DAAC, as one flat dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import netCDF4
import xarray as xr

from ...errors import InputError
from ..layout.coordinates import find_fillable, list_names


def merge_groups(
    path: str, root: xr.Dataset, group: str | None, read: Callable[[str], xr.Dataset]
) -> xr.Dataset:
    """Return the ``root`` of a file with the variables of its groups.

    With a ``group`` the fields are those of this group; the other groups add coordinates only. A file without
    groups is returned as it is, and also one whose root holds fields. ``read`` opens a
    group by its name.

    Raises `InputError` for a ``group`` that does not exist, and where two groups have the same field.
    """
    with netCDF4.Dataset(path) as file:
        names = list(_walk(file))
    chosen = None if group is None else group.strip("/")
    if chosen is not None and chosen not in names:
        found = f"choose among {list_names(names)}" if names else "the file has no groups"
        raise InputError(f"{path}: there is no group {group!r}; {found}")
    if not names or (chosen is None and find_fillable(root)):
        return root
    parts = {name: read(name) for name in names}
    made = root if chosen is None else root.drop_vars(find_fillable(root))
    owner = dict.fromkeys(map(str, made.variables), "the root")
    # The chosen group comes first, so its variables win.
    for name in sorted(parts, key=lambda name: name != chosen):
        part = parts[name]
        fields = find_fillable(part)
        both = [str(key) for key in part.variables if str(key) in owner]
        clash = next((key for key in both if key in fields), None)
        if chosen is None and clash is not None:
            raise InputError(
                f"{path}: the groups {owner[clash]} and {name} both have {clash}; choose one with group="
            )
        part = part.drop_vars({*both, *(fields if chosen not in (None, name) else ())})
        owner |= dict.fromkeys(map(str, part.variables), name)
        made = made.assign(part.variables)

    def close() -> None:
        for part in (root, *parts.values()):
            part.close()

    made.set_close(close)
    return made


def _walk(group: Any, before: str = "") -> Iterator[str]:
    for name, inner in group.groups.items():
        yield f"{before}{name}"
        yield from _walk(inner, f"{before}{name}/")
