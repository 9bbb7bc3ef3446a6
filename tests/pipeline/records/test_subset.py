"""The training subset: all of it, spans of whole maps, or squares side by side."""

import numpy as np
import pytest
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.records.blocks import BASE
from oceanfill.pipeline.records.prepare import prepare
from oceanfill.pipeline.records.record import Record
from oceanfill.pipeline.records.subset import LEARNING, SPAN, select_subset

DATES, ROWS, COLUMNS = 150, 40, 50


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    dataset = cloudy_dataset(dates=DATES, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    dataset.sst[40:80] = np.nan
    dataset.to_netcdf(folder / "in.nc")
    return Record(str(prepare(folder / "in.nc", folder / "in.zarr", variable="sst")))


def memory(dates: float) -> float:
    return BASE + LEARNING * dates * ROWS * COLUMNS


def test_all_of_it_where_that_fits(record):
    np.testing.assert_array_equal(
        select_subset(record, memory(DATES + 0.1)).values, record.read_field(slice(0, DATES)).values
    )


def test_spans_of_whole_maps_not_where_nothing_was_observed(record):
    found = select_subset(record, memory(2 * SPAN + 0.1))
    whole = record.read_field(slice(0, DATES))
    assert found.values.shape == (2 * SPAN, ROWS, COLUMNS)
    for part in (slice(0, SPAN), slice(SPAN, 2 * SPAN)):
        assert found.observed[part].any((1, 2)).sum() >= SPAN / 3
        assert any(
            np.array_equal(found.values[part], whole.values[t : t + SPAN], equal_nan=True)
            for t in range(DATES)
        )
        np.testing.assert_array_equal(np.diff(found.days[part]), 1)
    assert found.days[SPAN] >= SPAN


def test_squares_of_maps_that_are_too_large(record):
    found = select_subset(record, BASE + LEARNING * 3 * SPAN * 16 * 16 * 2.1, side=16)
    assert found.values.shape == (3 * SPAN, 16, 16 + 16 + 16)
    whole = record.read_field(slice(0, DATES))
    land = np.zeros(found.sea.shape[1], bool)
    for k in range(2):
        columns = slice(32 * k, 32 * k + 16)
        land[columns.stop : columns.stop + 16] = True
        y, x = (
            np.abs(axis - place).argmin()
            for axis, place in (
                (whole.lat[:, 0], found.lat[0, columns][0]),
                (whole.lon[0], found.lon[0, columns][0]),
            )
        )
        square = slice(y, y + 16), slice(x, x + 16)
        np.testing.assert_array_equal(found.sea[:, columns], whole.sea[square])
        np.testing.assert_array_equal(found.lat[:, columns], whole.lat[square])
        first = next(
            t
            for t in range(DATES)
            if np.array_equal(found.values[0, :, columns], whole.values[t][square], True)
        )
        np.testing.assert_array_equal(
            found.values[:SPAN, :, columns], whole.values[first : first + SPAN][:, *square]
        )
    assert not found.sea[:, land].any()
    assert not found.observed[..., land].any()
    assert (found.observed.any(axis=0) <= found.sea).all()


def test_the_error_for_whole_maps_names_the_memory_that_is_enough(record):
    with pytest.raises(
        InputError, match=f"40 x 50 pixels are too large to learn from; allow {memory(SPAN) / 1e9:.3g} GB"
    ):
        select_subset(record, memory(SPAN - 1), whole_maps=True, side=16)
    assert len(select_subset(record, memory(SPAN + 0.1), whole_maps=True, side=16).days) == SPAN
