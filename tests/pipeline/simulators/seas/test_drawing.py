"""Drawing seas: seeds, what the datasets hold, and that they open as fields."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.simulators.seas.drawing import FAMILIES, draw_dates, draw_domain, draw_sea


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_opens_as_a_field_with_gaps(family):
    for seed in (0, 5):
        sea = draw_sea(seed, family)
        field = open_field(sea, variable="observed", mask_variable="mask", outliers="keep")
        inside = sea.mask.to_numpy() == 1
        np.testing.assert_array_equal(field.sea, inside)
        truth, observed = sea.truth.to_numpy(), sea.observed.to_numpy()
        assert truth.dtype == observed.dtype == np.float32
        assert np.isfinite(truth[:, inside]).all()
        assert np.isnan(truth[:, ~inside]).all()
        share = np.isnan(observed[:, inside]).mean()
        assert 0.05 <= share <= 0.97
        assert share == pytest.approx(sea.attrs["missing"], abs=1e-6)
        assert (field.observed.sum((1, 2)) >= 30).sum() >= 3
        assert field.transform == ("log" if sea.attrs["positive"] else "none")
        assert all(isinstance(value, (str, float, int)) for value in sea.attrs.values())
        assert sea.attrs["family"] == family


def test_seeds_decide_every_bit():
    first, again, other = draw_sea(7, "fronts"), draw_sea(7, "fronts"), draw_sea(8, "fronts")
    xr.testing.assert_identical(first, again)
    assert first.attrs == again.attrs
    assert first.observed.shape != other.observed.shape or not np.array_equal(first.truth, other.truth)


def test_a_seed_chooses_among_the_families_given():
    chosen = {}
    for seed in range(4):
        sea = draw_sea(seed, families=["gaussian", "concentrations"])
        chosen[seed] = sea.attrs["family"]
        xr.testing.assert_identical(sea, draw_sea(seed, sea.attrs["family"]))
    assert set(chosen.values()) == {"gaussian", "concentrations"}
    for arguments in ({"family": "nothing"}, {"families": ["fronts", "nothing"]}):
        with pytest.raises(InputError, match="there is no family 'nothing'"):
            draw_sea(0, **arguments)


def test_observations_differ_from_the_truth_by_the_drawn_errors():
    """Away from everything but white noise: seas whose errors are white alone."""
    found = []
    for seed in range(14):
        sea = draw_sea(seed, "gaussian")
        others = {"sensors", "correlated", "offsets", "stripes", "rims", "outliers"}
        if not others & set(sea.attrs):
            error = (sea.observed - sea.truth).to_numpy() / sea.attrs["spread"]
            found.append(np.nanstd(error) / sea.attrs["white"])
    assert len(found) >= 2
    np.testing.assert_allclose(found, 1, atol=0.06)


def test_concentrations_come_as_logarithms_or_as_they_are():
    kinds = [draw_sea(seed, "concentrations") for seed in range(6)]
    positive = [sea for sea in kinds if sea.attrs["positive"]]
    assert 1 <= len(positive) <= 5
    for sea in positive:
        assert float(sea.truth.min()) > 0
        logs = np.log10(sea.truth)
        assert float(logs.std()) == pytest.approx(sea.attrs["spread"], rel=1e-3)
        assert float(logs.mean()) == pytest.approx(sea.attrs["mean"], abs=1e-3)


def test_domains_are_of_many_sizes_a_third_of_them_small():
    domains = [draw_domain(np.random.default_rng(seed))[0] for seed in range(240)]
    small = np.mean([max(domain.shape[1:]) <= 40 for domain in domains])
    assert small == pytest.approx(1 / 3, abs=0.1)
    assert all(15 <= size <= 128 for domain in domains for size in domain.shape[1:])
    assert all(8 <= domain.shape[0] <= 60 for domain in domains)
    cells = [domain.cell for domain in domains]
    assert 0.3 <= min(cells) < 0.6
    assert 15 < max(cells) <= 30
    assert np.mean([domain.sea.all() for domain in domains]) == pytest.approx(0.25, abs=0.09)


def test_dates_are_regular_or_not():
    found = {}
    for seed in range(20):
        dates, spacing = draw_dates(np.random.default_rng(seed), 1.0, 20)
        gaps = np.diff(dates.to_numpy()) / np.timedelta64(1, "D")
        assert gaps.min() > 0.39
        found.setdefault(spacing, []).append((len(dates), gaps))
    assert all(count == 20 and np.ptp(gaps) == 0 for count, gaps in found["regular"])
    assert all(8 <= count <= 20 and (gaps % 1 == 0).all() for count, gaps in found["left out"])
    assert all(count == 20 and 0.2 < np.ptp(gaps) <= 1.2 for count, gaps in found["jittered"])


def test_months_start_on_their_first_day():
    dates, _ = draw_dates(np.random.default_rng(0), 30.4375, 30)
    assert set(dates.day) == {1}
    assert len(dates) >= 8
