"""Blocks that cover a record once, see enough around them and fit the memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.records import blocks as module
from oceanfill.pipeline.records.blocks import BASE, Box, cut_blocks


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CELLS", 8)


@given(
    dates=st.integers(2, 120),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    reach=st.integers(0, 9),
    cyclic=st.booleans(),
    spare=st.floats(0, 4),
)
def test_every_value_is_filled_once_and_a_block_sees_what_is_around_it(
    dates, rows, columns, reach, cyclic, spare
):
    values = min(32, dates) * min(rows, 19 + 2 * reach) * min(columns * (1 + cyclic), 19 + 2 * reach)
    memory = BASE + 100 * values * (1 + spare) + 1
    count = np.zeros((dates, rows, columns), int)
    for core, seen in cut_blocks((dates, rows, columns), memory, 100, reach, cyclic=cyclic):
        count[tuple(core)] += 1
        assert [part.start % size for part, size in zip(core, (16, 8, 8), strict=True)] == [0, 0, 0]
        assert 100 * np.prod(seen.shape) <= memory - BASE
        assert seen.dates.start <= max(0, core.dates.start - 8)
        assert seen.dates.stop >= min(dates, core.dates.stop + 8)
        assert seen.rows.start <= max(0, core.rows.start - reach)
        assert seen.rows.stop == min(rows, core.rows.stop + reach)
        beyond = min(reach, columns // 2) if core.columns == slice(0, columns) else reach
        if cyclic:
            assert seen.columns.start <= core.columns.start - beyond
            assert seen.columns.stop == core.columns.stop + beyond
        else:
            assert 0 <= seen.columns.start <= max(0, core.columns.start - reach)
            assert seen.columns.stop == min(columns, core.columns.stop + reach)
    assert (count == 1).all()


def test_maps_are_cut_where_that_is_less_work():
    """Whole maps of which 64 dates fit see each value twice in time, parts of them more dates at once."""
    shape = 640, 80, 80
    memory = BASE + 100 * 64 * 80 * 80 + 1
    whole = cut_blocks(shape, memory, 100, 1, whole_maps=True)
    parts = cut_blocks(shape, memory, 100, 1)
    seen = [sum(int(np.prod(block.seen.shape)) for block in made) for made in (whole, parts)]
    assert {block.core.shape for block in whole} == {(32, 80, 80)}
    assert seen[0] == 2 * np.prod(shape)
    assert seen[1] < 0.9 * seen[0]
    assert len(cut_blocks(shape, BASE + 100 * np.prod(shape), 100, 4)) == 1


def test_blocks_see_16_dates_where_smaller_parts_of_the_map_allow_it(monkeypatch):
    """Larger parts that see fewer dates would be less work."""

    def made() -> tuple[int, int]:
        found = cut_blocks((640, 136, 272), BASE + 100 * 110_000, 100, 2)
        core, seen = next(block for block in found if block.core.dates.start > 100)
        return core.dates.start - seen.dates.start, sum(int(np.prod(block.seen.shape)) for block in found)

    halo, work = made()
    monkeypatch.setattr(module, "_GOOD_HALO", 8)
    short, less = made()
    assert short < 16 <= halo
    assert less < work < 1.5 * less


def test_a_part_of_a_part():
    core, seen = Box(slice(16, 32), slice(8, 16), slice(0, 8)), Box(slice(8, 40), slice(3, 20), slice(-4, 12))
    assert core.within(seen) == Box(slice(8, 24), slice(5, 13), slice(4, 12))
    assert core.shape == (16, 8, 8)


def test_too_little_memory_is_said_with_what_is_enough():
    shape = 100, 80, 80
    for how, remedy in (({}, "GB by --memory$"), ({"whole_maps": True}, "choose a method that can be cut")):
        with pytest.raises(InputError, match=remedy) as error:
            cut_blocks(shape, BASE + 1e4, 1000, 4, **how)
        enough = float(str(error.value).split("worker ")[1].split(" GB")[0])
        assert cut_blocks(shape, 1.01e9 * enough, 1000, 4, **how)
        with pytest.raises(InputError):
            cut_blocks(shape, 0.99e9 * enough, 1000, 4, **how)
