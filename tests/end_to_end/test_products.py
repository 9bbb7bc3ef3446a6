"""The large providers' products are filled by the commands of docs/inputs.md, on made-up files with their headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from product_temperature import write_cci, write_l3m_sst, write_later_mur, write_mur, write_oisst, write_ostia
from product_truth import Product

Run = Callable[..., Any]
DOCUMENT = Path(__file__).parents[2] / "docs" / "inputs.md"

GRIDDED = [
    write_mur, write_later_mur, write_ostia, write_cci, write_oisst, write_l3m_sst,
]


@pytest.mark.parametrize("write", GRIDDED)
def test_a_gridded_product(run: Run, write: Callable[[Path], Product]) -> None:
    product = write(Path())
    words = ("--method", "linear-time", "--no-holdout", "--quiet")
    result = run("fill", *map(str, product.paths), "-o", "out.nc", *product.options, *words)
    assert result.code == 0, result.err
    out = xr.load_dataset("out.nc")
    for text in product.said:
        assert text in out.attrs["input_treatment"]
    source = out[f"{product.name}_source"].squeeze().to_numpy()
    assert source[:, ~product.sea].max(initial=0) <= 1  # nothing is filled there
    assert source[:, product.sea].min() >= 1
    np.testing.assert_array_equal((source == 1)[:, product.sea], product.kept[:, product.sea])
    np.testing.assert_array_equal(out[product.name].squeeze().to_numpy().shape, product.truth.shape)
    time = next(name for name in out.coords if out[name].dtype.kind == "M")
    np.testing.assert_array_equal(out[time].to_numpy(), product.dates)
    value = out[product.name].squeeze().to_numpy()
    departure = (np.log(value / product.truth) if product.log else value - product.truth)[:, product.sea]
    assert np.sqrt(np.mean(departure**2)) < product.bound
