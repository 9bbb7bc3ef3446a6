"""What is delivered carries the scale and the floor of its error."""

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.jobs.deliver import deliver
from oceanfill.pipeline.jobs.methods import Candidate, Method
from oceanfill.pipeline.settings import FillSettings
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings

GUESS, NETWORK = 0.8, 0.2  # deviations from the truth; both candidates claim half of that


def run(data, settings):
    """A network that is better than its first guess, with the same values for estimate and trial."""
    field, rng = data.field, np.random.default_rng(0)

    def candidate(name, deviation, corrects=None):
        off = deviation * rng.standard_normal(field.values.shape)
        mean = np.where(field.sea, np.nan_to_num(field.values) + off, np.nan).astype(np.float32)
        error = np.where(field.sea, np.float32(deviation / 2), np.float32(np.nan))
        error = np.broadcast_to(error, mean.shape)
        return Candidate(name, (mean, error), (mean, error), corrects=corrects)

    guess = candidate("guess", GUESS)
    return [{"guess": guess, "network": candidate("network", NETWORK, guess)}]


def test_a_never_observed_pixel_is_delivered_with_the_error_of_the_first_guess():
    field = cloudy_field(dates=24)
    field.values[:, 5:7, 5:7] = np.nan
    rows = []
    data = GapData(field, DataSettings(held_out=0.2, seed=1))
    (filled,) = deliver(data, Method("pair", run), FillSettings(), rows.extend, {})
    assert filled.attrs["delivered"] == "network"
    assert [row["method"] for row in rows] == ["guess", "network"]
    error, flags = filled.sst_error.values, filled.sst_source.values
    assert error[flags == 3].min() == pytest.approx(GUESS, rel=0.1)
    assert np.median(error[flags == 2]) == pytest.approx(NETWORK, rel=0.1)
    assert filled.attrs["held_out_coverage_1sigma"] == pytest.approx(0.683, abs=0.05)
