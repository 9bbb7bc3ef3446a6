"""Errors of synthetic observations: their sizes, and what they are alike along."""

from __future__ import annotations

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.errors import draw_correlated, draw_errors, draw_rims, draw_stripes


def half_hidden(dates=12, rows=40, columns=48):
    missing = np.zeros((dates, rows, columns), bool)
    missing[:, :, : columns // 2] = True
    return missing


def test_white_errors_have_the_drawn_size():
    """Where nothing else was drawn, and the sizes cover 2% to 50%."""
    domain, sizes, alone = open_water(12), [], 0
    for seed in range(60):
        errors, drawn = draw_errors(np.random.default_rng(seed), domain, half_hidden(), clouded=False)
        sizes.append(drawn["white"])
        assert "rims" not in drawn
        if len(drawn) == 1:
            alone += 1
            assert errors.std() == pytest.approx(drawn["white"], rel=0.03)
            assert abs(errors.mean()) < 0.03 * drawn["white"]
    assert alone >= 8
    assert 0.02 <= min(sizes) < 0.03
    assert 0.4 < max(sizes) <= 0.5


def test_offsets_move_whole_dates():
    domain, missing, found = open_water(100, 4, 5), half_hidden(100, 4, 5), []
    for seed in range(40):
        errors, drawn = draw_errors(np.random.default_rng(seed), domain, missing, clouded=False)
        if set(drawn) == {"white", "offsets"}:
            expected = np.sqrt(drawn["offsets"] ** 2 + drawn["white"] ** 2 / 20)
            found.append(errors.mean((1, 2)).std() / expected)
    assert len(found) >= 2
    np.testing.assert_allclose(found, 1, atol=0.25)


def test_sensors_take_turns():
    domain, ratios = open_water(12), []
    for seed in range(200):
        errors, drawn = draw_errors(np.random.default_rng(seed), domain, half_hidden(), clouded=False)
        if set(drawn) == {"white", "sensors"} and drawn["sensors"] == 2:
            spread = errors.std((1, 2))
            np.testing.assert_allclose(spread[::2], spread[0], rtol=0.1)
            ratios.append(abs(np.log(spread[0] / spread[1])))
    assert len(ratios) >= 2
    assert max(ratios) > 0.2


def test_outliers_are_few_and_large():
    domain, found = open_water(12), 0
    for seed in range(100):
        errors, drawn = draw_errors(np.random.default_rng(seed), domain, half_hidden(), clouded=False)
        if set(drawn) == {"white", "outliers"} and drawn["white"] < 0.2:
            found += 1
            share = (np.abs(errors) > 1.5).mean()
            assert share == pytest.approx(drawn["outliers"], rel=0.4)
    assert found >= 1


def test_correlated_errors_are_alike_within_a_date_only():
    errors = draw_correlated(np.random.default_rng(0), open_water(30))
    assert errors.std() == pytest.approx(1, abs=0.1)
    assert np.corrcoef(errors[:, 1:].ravel(), errors[:, :-1].ravel())[0, 1] > 0.3
    assert abs(np.corrcoef(errors[1:].ravel(), errors[:-1].ravel())[0, 1]) < 0.05


def test_stripes_are_constant_along_rows_columns_or_diagonals():
    kinds = set()
    for seed in range(20):
        stripes = draw_stripes(np.random.default_rng(seed), open_water(3, 30, 36))
        along = {
            "rows": np.ptp(stripes, axis=2).max(),
            "columns": np.ptp(stripes, axis=1).max(),
            "diagonals": min(np.abs(stripes[:, k:, :-1] - stripes[:, :-k, 1:]).max() for k in (1, 2, 3)),
        }
        assert min(along.values()) == 0
        kinds.add(min(along, key=along.get))
        assert stripes.std() == pytest.approx(1, abs=0.35)
    assert kinds == {"rows", "columns", "diagonals"}


def test_contaminated_rims_fall_off_from_the_clouds():
    rims = np.mean(
        [draw_rims(np.random.default_rng(seed), open_water(12), half_hidden()) for seed in range(8)], axis=0
    )
    near, far = rims[:, :, 24].mean(), rims[:, :, 36:].mean()
    assert rims.min() >= 0
    assert near > 0.15
    assert far < 0.1 * near


def test_single_missing_cells_have_no_rim():
    missing = np.zeros((3, 40, 48), bool)
    missing[:, ::6, ::6] = True
    assert np.abs(draw_rims(np.random.default_rng(0), open_water(3), missing)).max() == 0


def test_rims_are_mostly_cold():
    signs = []
    for seed in range(60):
        errors, drawn = draw_errors(np.random.default_rng(seed), open_water(12), half_hidden(), clouded=True)
        if "rims" in drawn and "offsets" not in drawn and drawn["rims"] > 0.4:
            signs.append(np.sign(errors[:, :, 24].mean() - errors[:, :, 40:].mean()))
    assert len(signs) >= 8
    assert -1 < np.mean(signs) < -0.1
