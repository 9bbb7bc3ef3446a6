"""Files before their values are read: whether they are there, whole, and of a kind that can be read."""

from __future__ import annotations

import stat
import struct
from math import prod
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

_LONG_NAME = 200  # characters that are shown of a path
_PACKED = (b"\x1f\x8b", b"PK\3\4", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")  # gzip, zip, ...
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # of a value, by type


def exists(path: str) -> bool:
    """Whether there is a file or a folder. Raises `InputError` where that cannot be seen or read as one."""
    try:
        kind = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a link to itself
        shown = path if len(path) < _LONG_NAME else f"{path[:_LONG_NAME]}..."
        raise InputError(f"{shown}: cannot be opened ({shorten_error(error)}); check the path") from error
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise InputError(f"{path}: this is a device, a pipe or a socket, not a file; name a file")
    return True


def check_size(path: str) -> None:
    """Raise `InputError` for a truncated classic file: the netCDF library reads its lost values as zeros."""
    try:
        with Path(path).open("rb") as file:
            needed = measure_classic(file)
    except (EOFError, ValueError):
        raise InputError(f"{path}: the file is truncated or damaged; fetch it again") from None
    except OSError:
        return  # the library says why
    size = Path(path).stat().st_size
    if needed is not None and size < needed:
        raise InputError(f"{path}: the file is truncated ({size} bytes of at least {needed}); fetch it again")


def explain_failure(path: str, error: Exception) -> str:
    """Return in a sentence why a file or a store could not be opened."""
    if isinstance(error, PermissionError):
        return f"{path}: reading is not permitted; ask for permission (chmod +r)"
    if Path(path).is_dir():
        return f"{path}: the Zarr store cannot be read ({shorten_error(error)}); write it again"
    start = _read_first_bytes(path)
    if not start:
        return f"{path}: the file is empty; fetch it again"
    if start.startswith(_PACKED):
        return f"{path}: the file is compressed or an archive; unpack it first (gunzip, unzip, tar)"
    if start.startswith((b"CDF", b"\x89HDF")):
        return f"{path}: the file is truncated or damaged ({shorten_error(error)}); fetch it again"
    if start.lstrip().startswith(b"<"):
        return f"{path}: this is a web page, perhaps a login, and not a NetCDF file; fetch the data again"
    return f"{path}: this is not a NetCDF file (it starts with {start!r}); convert it to NetCDF or Zarr"


def shorten_error(error: Exception) -> str:
    """Return the first line of the message of a library."""
    text = getattr(error, "strerror", None) or str(error)
    return (text.splitlines() or [type(error).__name__])[0]


def _read_first_bytes(path: str) -> bytes:
    with Path(path).open("rb") as stream:
        return stream.read(8)


def measure_classic(file: BinaryIO) -> int | None:
    """Return the number of bytes that a classic file must have at least; None for another format.

    The netCDF library reads what is missing at its end as zeros, without an error. The format is that of the
    NetCDF Users' Guide, "File Format Specifications": CDF-1, CDF-2 and CDF-5. The padding after the last
    value is not counted. Raises `EOFError` where the header itself is cut off, and `ValueError` where it
    makes no sense.
    """
    magic = file.read(4)
    if magic[:3] != b"CDF" or magic[3:] not in (b"\1", b"\2", b"\5"):
        return None
    return _Header(file, magic[3]).measure()


class _Header:
    """Reads the header of a classic file of a version, one item after the other."""

    def __init__(self, file: BinaryIO, version: int) -> None:
        self.file = file
        self.count = ">q" if version == 5 else ">i"  # format of lengths and numbers
        self.offset = ">i" if version == 1 else ">q"

    def measure(self) -> int:
        records = self._number(self.count)
        dims = [self._read_dim() for _ in range(self._start_list())]
        self._skip_attributes()
        end, per_record, growing = self.file.tell(), 0, []
        for _ in range(self._start_list()):
            self._skip_name()
            chosen = [self._number(self.count) for _ in range(self._number(self.count))]
            self._skip_attributes()
            size = self._read_type()
            self._number(self.count)  # the size in words, which is not reliable for large variables
            begin = self._number(self.offset)
            if any(not 0 <= number < len(dims) for number in chosen):
                raise ValueError("a variable has a dimension that does not exist")
            lengths = [dims[number] for number in chosen]
            if lengths and lengths[0] == 0:  # the unlimited dimension comes first
                own = size * prod(lengths[1:])
                per_record += own + -own % 4
                growing.append((begin, own))
            else:
                end = max(end, begin + size * prod(lengths))
        if len(growing) == 1:
            per_record = growing[0][1]  # records of one variable are not padded
        if records > 0:
            end = max([end, *(begin + (records - 1) * per_record + own for begin, own in growing)])
        return max(end, self.file.tell())

    def _number(self, form: str) -> int:
        size = struct.calcsize(form)
        found = self.file.read(size)
        if len(found) < size:
            raise EOFError
        return int(struct.unpack(form, found)[0])

    def _start_list(self) -> int:
        self._number(">i")  # the kind of list, or zero for none
        return self._number(self.count)

    def _skip(self, size: int) -> None:
        if size < 0:
            raise ValueError("a length is negative")
        self.file.seek(size + -size % 4, 1)

    def _skip_name(self) -> None:
        self._skip(self._number(self.count))

    def _read_dim(self) -> int:
        self._skip_name()
        return self._number(self.count)

    def _read_type(self) -> int:
        kind = self._number(">i")
        if kind not in _BYTES:
            raise ValueError(f"there is no type {kind}")
        return _BYTES[kind]

    def _skip_attributes(self) -> None:
        for _ in range(self._start_list()):
            self._skip_name()
            size = self._read_type()
            self._skip(size * self._number(self.count))
