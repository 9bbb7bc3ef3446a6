"""Stores of radial velocities hold what is read into memory: flags, and a direction on every date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.io.radials import open_radials
from oceanfill.pipeline.records.radials import prepare_radials
from oceanfill.pipeline.settings import Resources
from product_currents import write_radials


def test_european_radials(tmp_path: Path) -> None:
    path = write_radials(tmp_path)
    once = open_radials(path, "DRVA")
    record = prepare_radials(path, tmp_path / "stores", "DRVA", Opening(), Resources())
    stored = record.read(slice(None))
    assert 0.6 < np.isfinite(once.values).mean() < 0.8  # of all, 0.15 are flagged and 0.15 missing
    np.testing.assert_allclose(stored.values, once.values, atol=1e-6)
    np.testing.assert_allclose(stored.towards, once.towards, atol=1e-6)
