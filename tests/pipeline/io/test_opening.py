"""Options of opening: defaults, what differs from them, names that do not exist."""

from __future__ import annotations

import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.opening import Opening, make_opening


def test_only_what_differs_from_the_defaults_is_given() -> None:
    assert Opening().given() == {}
    opening = Opening(variable="sst", transform="log", minimum_coverage=0.05, mask_variable="wet")
    assert opening.given() == {"variable": "sst", "transform": "log", "mask_variable": "wet"}
    assert opening.names == ("wet", None)


def test_options_replace_those_of_an_opening() -> None:
    opening = Opening(variable="sst", period="2020/2021")
    assert make_opening(opening, {"period": None}) == Opening(variable="sst")
    assert make_opening(None, {}) == Opening()
    assert opening.period == "2020/2021"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"regoin": (1, 2, 3, 4)}, "there is no option 'regoin'; did you mean region?"),
        (
            {"xyz": 1},
            "there is no option 'xyz'; choose among bounds, bounds_of_values",
        ),
        ({"period": "2020/2021/2022"}, "the period '2020/2021/2022' has no start and end"),
        ({"period": "2020-05/2020-04-03"}, "ends before it starts; write it as 2020-04-03/2020-05"),
        ({"region": (-179, 100, 30, 46)}, "latitude comes first: region=(30, 46, -179, 100)"),
        ({"bounds": (100, 179, 200, 300)}, "has no such latitudes; write bounds=(lat0, lat1, lon0, lon1)"),
        ({"region": (1, 2, 3, float("nan"))}, "is not lat0, lat1, lon0, lon1"),
        ({"observation_error": float("inf")}, "the observation error inf is not a standard error"),
    ],
)
def test_options_that_make_no_sense(options, sentence) -> None:
    with pytest.raises(InputError) as refusal:
        make_opening(None, options)
    assert sentence in str(refusal.value)


def test_falling_latitudes_are_understood_and_said(caplog) -> None:
    assert Opening(region=(46, 30, -6, 37)).region == (30, 46, -6, 37)
    assert "the latitudes of the region are taken as 30 to 46" in caplog.text
    assert Opening(bounds=(46, 30, -6, 37)).bounds == (30, 46, -6, 37)
