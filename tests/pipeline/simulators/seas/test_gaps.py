"""Gaps: shares missing, and the shapes of clouds, swaths, tracks and outages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.gaps import (
    FEWEST,
    FEWEST_DATES,
    KINDS,
    SHARE,
    draw_clouds,
    draw_gaps,
    draw_outages,
    draw_runs,
    draw_tracks,
    evolve_series,
    is_usable,
    lose_places,
    pass_over,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(17, 21), (64, 90)])
def test_enough_is_missing_and_enough_is_left(kind, size):
    sea = np.ones(size, bool)
    sea[:, -4:] = False
    domain, shares = replace(open_water(10), sea=sea), []
    for seed in range(8):
        missing, drawn = draw_gaps(np.random.default_rng(seed), domain, kind)
        assert missing[:, ~sea].all()
        shares.append(missing[:, sea].mean())
        assert SHARE[0] <= shares[-1] <= SHARE[1]
        assert ((~missing).sum((1, 2)) >= FEWEST).sum() >= FEWEST_DATES
        assert drawn["gaps"] == kind
    assert np.ptp(shares) > 0.1


def test_usable_gaps_leave_thirty_values_on_three_dates():
    missing, sea = np.ones((4, 15, 40), bool), np.ones((15, 40), bool)
    missing[:3, :6, :5] = False  # 96.25% missing
    assert is_usable(missing, sea)
    missing[2, 0, 0] = True
    assert not is_usable(missing, sea)
    missing[:] = False
    assert not is_usable(missing, sea)
    missing[:, 0, 0] = True  # 1 of 600
    assert not is_usable(missing, sea)


def test_clouds_have_the_cover_asked_on_average_and_vary_by_date():
    """Only without rims, which widen them."""
    shares, ranges = [], []
    for seed in range(24):
        missing, drawn = draw_clouds(np.random.default_rng(seed), open_water(20), cover=0.5)
        if not drawn["rim"]:
            shares.append(missing.mean())
            ranges.append(np.ptp(missing.mean((1, 2))))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.07)
    assert np.median(ranges) > 0.3


def test_lasting_clouds_hide_the_same_places():
    """The share hidden on two neighbouring dates is above that of independent ones."""
    excess = {True: [], False: []}
    for seed in range(40):
        missing, drawn = draw_clouds(np.random.default_rng(seed), open_water(12, 40, 40), cover=0.5)
        both = (missing[1:] & missing[:-1]).mean((1, 2))
        alone = missing[1:].mean((1, 2)) * missing[:-1].mean((1, 2))
        if drawn["region"] == 0:
            excess[drawn["cloud_memory"] > 1].append(np.mean(both - alone))
    assert np.mean(excess[True]) > np.mean(excess[False]) + 0.02


@pytest.mark.parametrize(("spacing", "width"), [(20.0, 1.5), (40.0, 24.0)])
def test_stripes_have_their_width_and_spacing(spacing, width):
    """Two crossing sets of stripes see 1 - (1 - width / spacing)^2 of the sea, one sees width / spacing."""
    one, two = width / spacing, 1 - (1 - width / spacing) ** 2
    for seed in range(6):
        seen = pass_over(np.random.default_rng(seed), open_water(12, 120, 120), spacing, width, 0.0).mean()
        assert min(abs(seen - one), abs(seen - two)) < 0.15 * one + 0.01


def test_the_middle_of_a_swath_can_be_left_out():
    seen = [
        pass_over(np.random.default_rng(3), open_water(12, 120, 120), 40.0, 20.0, gap).mean()
        for gap in (0, 8)
    ]
    assert seen[1] < 0.8 * seen[0]


def test_tracks_are_sparse_lines_that_move():
    shares = []
    for seed in range(12):
        missing, drawn = draw_tracks(np.random.default_rng(seed), open_water(10, 80, 80))
        assert 1 <= drawn["missions"] <= 4
        assert (missing[0] != missing[1]).any()
        shares.append(missing.mean())
    assert min(shares) > 0.5
    assert np.median(shares) > 0.75


def test_radars_see_less_far_away_and_lose_dates_and_halves():
    domain, near, far, halves = replace(open_water(40, 28, 28), step=1 / 24), [], [], 0
    for seed in range(12):
        missing, drawn = draw_outages(np.random.default_rng(seed), domain)
        lost = missing.all((1, 2)).mean()
        assert lost >= min(drawn["dates_lost"], 0.99) - 1e-9
        order = np.sort(missing.mean(0).ravel())
        near.append(order[:200].mean())
        far.append(order[-200:].mean())
        if drawn["halves_lost"] and not drawn["dates_lost"]:
            halves += 1
    assert np.mean(near) < 0.45
    assert np.mean(far) > np.mean(near) + 0.35
    assert halves >= 1


def test_outages_last_for_runs_of_dates():
    lost = draw_runs(np.random.default_rng(1), 4000, 0.2)
    assert 0.2 <= lost.mean() < 0.22
    runs = np.diff(np.flatnonzero(np.diff(np.r_[False, lost, False].astype(int))))[::2]
    assert 3 < runs.mean() < 7  # 1 + 1/0.3, and runs that touch


def test_places_that_are_never_seen_have_the_share_asked():
    places = lose_places(np.random.default_rng(0), open_water(4, 60, 60), 0.1)
    assert places.mean() == pytest.approx(0.1, abs=0.005)


def test_series_keep_what_they_are_asked_to():
    series = evolve_series(np.random.default_rng(0), 5000, 0.7)
    assert series.std() == pytest.approx(1, abs=0.08)
    assert np.corrcoef(series[1:], series[:-1])[0, 1] == pytest.approx(0.7, abs=0.03)
