"""Transforms: moments against Monte Carlo, errors there and back, and which one a variable gets."""

from __future__ import annotations

import numpy as np
import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.io.transforms import (
    Logarithm,
    Logit,
    choose_transform,
    find_transform,
    name_logit,
    name_option,
    transform_values,
)

STANDARD = {"standard_name": "mass_concentration_of_chlorophyll_a_in_sea_water", "units": "mg m-3"}


@pytest.mark.parametrize(
    ("name", "mean", "error"),
    [
        ("log", 0.3, 0.1),
        ("log", -2.0, 0.9),
        ("logit(0,100)", 0.0, 0.5),
        ("logit(0,100)", 1.5, 2.0),  # a third of it beyond the squeezed bound: ice at 100%
        ("logit(0,100)", -2.0, 0.7),
        ("logit(-1,3)", 1.5, 3.0),
        ("none", 2.0, 0.4),
    ],
)
def test_moments_are_those_of_transformed_gaussian_draws(name, mean, error):
    transform = find_transform(name)
    draws = transform.backward(mean + error * np.random.default_rng(0).standard_normal(2_000_000))
    found = transform.find_moments(np.array([mean]), np.array([error]))
    assert found[0][0] == pytest.approx(draws.mean(), rel=4e-3, abs=2e-3)
    assert found[1][0] == pytest.approx(draws.std(), rel=1e-2)


def test_errors_of_logarithms_come_back_however_large_they_are():
    values = np.array([0.05, 0.3, 20.0])
    for error in (0.01 * values, 0.5 * values, 3 * values):
        spread = Logarithm().forward_error(values, error)
        np.testing.assert_allclose(Logarithm().backward_error(values, spread), error, rtol=1e-12)
    # A variable of median m and standard deviation s of the logarithm, whose error is then s again.
    drawn = np.exp(0.4 * np.random.default_rng(1).standard_normal(1_000_000))
    assert Logarithm().forward_error(drawn.mean(), drawn.std()) == pytest.approx(0.4, rel=5e-3)


def test_values_on_the_bounds_have_finite_logits_and_errors_that_stay_between_them():
    ice = Logit(0, 100)
    values = np.array([0.0, 1.0, 50.0, 99.0, 100.0])
    np.testing.assert_allclose(ice.backward(ice.forward(values)), values, atol=1e-9)
    spread = ice.forward_error(values, np.full(5, 5.0))
    # In the middle the slope of the logit is 0.8 * 4 / 100; at the ends half of the way is cut off.
    assert spread[2] == pytest.approx(0.05 * 0.8 * 4, rel=5e-3)
    assert spread[0] == pytest.approx((np.log(0.14 / 0.86) - np.log(0.1 / 0.9)) / 2, rel=1e-6)
    np.testing.assert_allclose(spread, spread[::-1])
    assert np.diff(ice.backward(np.linspace(-30, 30, 50))).min() >= 0
    assert (ice.backward(-30.0), ice.backward(30.0)) == (0, 100)
    np.testing.assert_array_equal(ice.can_take(np.array([-0.001, -0.1, 100.1, np.nan])), [1, 0, 0, 0])


def test_values_outside_the_bounds_are_counted_and_none_inside_is_refused():
    values = np.float32([-3, 20, 60, 130, np.nan])
    oddities: list[str] = []
    taken, error = transform_values("ice.nc", "ice", name_logit((0, 100)), values, np.float32(5), oddities)
    np.testing.assert_array_equal(np.isfinite(taken), [0, 1, 1, 0, 0])
    assert oddities == ["values outside the bounds 0 to 100, taken as missing: 2"]
    assert np.isfinite(error).all()
    with pytest.raises(InputError, match=r"ice\.nc: no value of ice lies within its bounds"):
        transform_values("ice.nc", "ice", "logit(200,300)", values, error, [])


@pytest.mark.parametrize(
    ("name", "attrs", "negative", "expected"),
    [
        ("chlor_a", STANDARD, 0.0, "log"),
        ("chlor_a", STANDARD, 0.4, "none"),  # anomalies, whatever they are called
        ("CHL", {"units": "milligram m-3"}, 0.0, "log"),
        ("chlor_a", {"units": "mg m^-3"}, 0.0, "log"),
        ("chl", {"units": "log10(mg m-3)"}, 0.0, "none"),
        ("log10_chl", STANDARD, 0.0, "none"),
        ("chl_anomaly", STANDARD, 0.0, "none"),
        ("CHL", {"units": "%"}, 0.0, "none"),
        ("spm", {"standard_name": "mass_concentration_of_suspended_matter_in_sea_water"}, 0.0, "log"),
        (
            "KD490",
            {
                "standard_name": "volume_attenuation_coefficient_of_downwelling_radiative_flux_in_sea_water",
                "units": "m-1",
            },
            0.0,
            "log",
        ),
        ("sst", {"standard_name": "sea_surface_temperature", "units": "K"}, 0.0, "none"),
    ],
)
def test_lognormal_quantities_get_logarithms(name, attrs, negative, expected):
    chosen, why = choose_transform(Opening(), name, attrs, negative)
    assert chosen == expected
    assert ("transform='none'" in why) == (expected == "log")


def test_an_option_comes_first():
    assert choose_transform(Opening(transform="none"), "chlor_a", STANDARD, 0) == ("none", "")
    bounded = Opening(bounds_of_values=(0, 100))
    assert choose_transform(bounded, "chlor_a", STANDARD, 0) == ("logit(0,100)", "")
    assert find_transform("logit(0,100)") == Logit(0, 100)
    assert name_option("logit(0,100)") == "bounds_of_values=(0,100)"
    with pytest.raises(InputError, match="have a transform of their own"):
        Opening(transform="log", bounds_of_values=(0, 100))
