"""Fixtures that several test files use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

# In an allocation of SLURM the tests are tasks of nobody's; those that need one set the variables themselves.
for name in [name for name in os.environ if name.startswith("SLURM_")]:
    del os.environ[name]

# The networks here are tiny, and pytest-xdist gives each core a process of its own.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real fields that do not ship with the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("OCEANFILL_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(
            f"no real fields: OCEANFILL_SHARED is not set to their folder and {beside} does not exist"
        )
    return folder
