"""Blocks cover a record once, have margins of the right width and fit the memory."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.records.blocks import BASE, Block, Box, cut_blocks

CELLS = 8  # of a chunk


@given(
    dates=st.integers(2, 120),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    reach=st.integers(0, 9),
    cyclic=st.booleans(),
    spare=st.floats(0, 4),
    n_workers=st.integers(1, 3),
)
def test_every_value_is_filled_once_and_a_block_has_its_margin(
    dates, rows, columns, reach, cyclic, spare, n_workers
):
    values = min(32, dates) * min(rows, 19 + 2 * reach) * min(columns * (1 + cyclic), 19 + 2 * reach)
    memory = BASE + 100 * values * (1 + spare) + 1
    count = np.zeros((dates, rows, columns), int)
    how = {"n_workers": n_workers, "cells": CELLS, "cyclic": cyclic}
    for core, padded in cut_blocks((dates, rows, columns), n_workers * memory, 100, reach, **how):
        count[tuple(core)] += 1
        assert [part.start % size for part, size in zip(core, (16, 8, 8), strict=True)] == [0, 0, 0]
        assert 100 * np.prod(padded.shape) <= memory - BASE
        assert padded.dates.start <= max(0, core.dates.start - 8)
        assert padded.dates.stop >= min(dates, core.dates.stop + 8)
        assert padded.rows.start <= max(0, core.rows.start - reach)
        assert padded.rows.stop == min(rows, core.rows.stop + reach)
        beyond = min(reach, columns // 2) if core.columns == slice(0, columns) else reach
        if cyclic:
            assert padded.columns.start <= core.columns.start - beyond
            assert padded.columns.stop == core.columns.stop + beyond
        else:
            assert 0 <= padded.columns.start <= max(0, core.columns.start - reach)
            assert padded.columns.stop == min(columns, core.columns.stop + reach)
    assert (count == 1).all()


def test_maps_are_cut_where_that_is_less_work():
    """Whole maps of which 64 dates fit are read twice; parts of them have more dates at once."""
    shape = 640, 80, 80
    memory = BASE + 100 * 64 * 80 * 80 + 1
    whole = cut_blocks(shape, memory, 100, 1, cells=CELLS, whole_maps=True)
    parts = cut_blocks(shape, memory, 100, 1, cells=CELLS)
    assert {block.core.shape for block in whole} == {(32, 80, 80)}
    assert values_read(whole) == 2 * np.prod(shape)
    assert values_read(parts) < 0.91 * values_read(whole)
    assert len(cut_blocks(shape, BASE + 100 * np.prod(shape), 100, 4, cells=CELLS)) == 1


def test_a_halo_of_16_dates_is_preferred_to_less_work():
    """Tiles of 32 cells, which are whole chunks as well, would have 15 dates around."""
    shape, memory = (640, 136, 272), BASE + 100 * 110_000
    chosen, larger = (cut_blocks(shape, memory, 100, 2, cells=cells) for cells in (CELLS, 32))
    halos = [
        block.core.dates.start - block.padded.dates.start
        for made in (chosen, larger)
        for block in made
        if block.core.dates.start == 320
    ]
    assert set(halos) == {18, 15}
    assert values_read(chosen) < 1.5 * values_read(larger)


def test_a_part_of_a_part():
    core, padded = (
        Box(slice(16, 32), slice(8, 16), slice(0, 8)),
        Box(slice(8, 40), slice(3, 20), slice(-4, 12)),
    )
    assert core.relative_to(padded) == Box(slice(8, 24), slice(5, 13), slice(4, 12))
    assert core.shape == (16, 8, 8)


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize(
    ("whole_maps", "remedy"), [(False, "memory=$"), (True, "choose a method that can be")]
)
def test_the_error_names_the_memory_that_is_enough_for_all_workers(n_workers, whole_maps, remedy):
    shape, how = (100, 80, 80), {"n_workers": n_workers, "whole_maps": whole_maps, "cells": CELLS}
    with pytest.raises(InputError, match=remedy) as error:
        cut_blocks(shape, n_workers * (BASE + 1e4), 1000, 4, **how)
    enough = float(re.search(r"allow ([\d.]+) GB", str(error.value)).group(1))
    assert ("for 3 workers" in str(error.value)) == (n_workers == 3)
    assert cut_blocks(shape, 1.01e9 * enough, 1000, 4, **how)
    with pytest.raises(InputError):
        cut_blocks(shape, 1e9 * (enough - 0.0101), 1000, 4, **how)  # it is rounded up


def values_read(blocks: list[Block]) -> int:
    return sum(int(np.prod(block.padded.shape)) for block in blocks)
