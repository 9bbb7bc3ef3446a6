"""The size that a classic NetCDF file must have, from its header.

The netCDF library reads what is missing at the end of such a file as zeros, without an error. The format is
that of the NetCDF Users' Guide, "File Format Specifications": CDF-1, CDF-2 and CDF-5.
"""

from __future__ import annotations

import struct
from math import prod
from typing import BinaryIO

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # of a value, by type


def measure_classic(file: BinaryIO) -> int | None:
    """Return the number of bytes that a classic file must have at least; None for another format.

    The padding after the last value is not counted. Raises `EOFError` where the header itself is cut off,
    and `ValueError` where it makes no sense.
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
