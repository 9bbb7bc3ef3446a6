"""What Lightning loads: checkpoints, and the weights that forked and spawned processes hand over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.training.files.loading import PlainCheckpoints, load_plain

WEIGHTS = {"head.weight": torch.arange(6.0).reshape(2, 3), "head.steps": torch.tensor(3)}


def test_bare_weights_are_loaded_for_lightning_only(tmp_path: Path) -> None:
    path, plugin = tmp_path / ".temp.ckpt", PlainCheckpoints()
    plugin.save_checkpoint(WEIGHTS, path)
    loaded = plugin.load_checkpoint(path)
    assert loaded.keys() == WEIGHTS.keys()
    assert all(torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)
    with pytest.raises(InputError, match="not a checkpoint of oceanfill"):
        load_plain(path)


def test_other_content_is_no_bare_weights(tmp_path: Path) -> None:
    path, plugin = tmp_path / "other.ckpt", PlainCheckpoints()
    for content, message in (
        ({"epoch": 3}, "the weights 'epoch' are not numbers"),
        ({"head.weight": torch.tensor([float("nan")])}, "are not finite"),
        ([1, 2], "not a checkpoint of oceanfill"),
    ):
        torch.save(content, path)
        with pytest.raises(InputError, match=message):
            plugin.load_checkpoint(path)
