"""Pictures of a comparison: which numbers are drawn where."""

from __future__ import annotations

import numpy as np
import pytest
from fields import cloudy_field
from matplotlib.image import imread
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.jobs.compare import Comparison, Scored
from oceanfill.pipeline.plots.comparison import draw_comparison, plot_comparison


@pytest.fixture(scope="module")
def comparison():
    """Four values on two dates; "exact" is off by 1 or 2, "loose" by 3, "broken" has no estimate."""
    truth = np.zeros(4)
    scored = Scored(
        truth=truth,
        weight=np.array([1.0, 3.0, 1.0, 1.0]),
        cell=np.array([[2, 5, 6], [2, 5, 7], [7, 5, 6], [7, 9, 9]]),
        distance=np.array([10.0, 10.0, 30.0, 50.0]),
        age=np.array([1.0, 1.0, 2.0, np.inf]),
        estimates={
            "exact": (np.array([1.0, 2.0, -1.0, -2.0]), np.full(4, 1.5)),
            "loose": (np.full(4, 3.0), np.full(4, 1e-3)),
        },
    )
    rows = [{"method": "exact", "rmse": 1.6}, {"method": "loose", "rmse": 3.0}]
    rows.append({"method": "broken", "failed": "no"})
    return Comparison(rows, scored, cloudy_field(dates=12), weighted=True)


def test_lines_are_weighted_rmse_by_class_and_maps_rmse_by_pixel(comparison):
    figure = draw_comparison(comparison)
    panels = {axes.get_title(): axes for axes in figure.axes}
    dates, ages, honest = (panels[title].lines for title in ("by date", "by age of the gap", "reliability"))
    assert [line.get_label() for line in dates] == ["exact", "loose"]
    np.testing.assert_array_equal(dates[0].get_xdata(), [2, 7])
    np.testing.assert_allclose(dates[0].get_ydata(), np.sqrt([(1 + 3 * 4) / 4, (1 + 4) / 2]))
    np.testing.assert_allclose(dates[1].get_ydata(), [3, 3])
    np.testing.assert_allclose(ages[0].get_xdata(), [1, 2, 2.6], err_msg="never observed comes last")
    np.testing.assert_allclose(ages[0].get_ydata(), np.sqrt([(1 + 3 * 4) / 4, 1, 4]))
    # Two of the errors are 0.67 standard errors (weight 2 of 6), two 1.33 (weight 4).
    percent, inside = honest[0].get_data()
    np.testing.assert_allclose(inside[np.isclose(percent, 45)], 0)
    np.testing.assert_allclose(inside[np.isclose(percent, 60)], 100 * 2 / 6)
    np.testing.assert_allclose(inside[np.isclose(percent, 85)], 100)
    assert not honest[1].get_ydata().any(), "errors of 3000 standard errors"
    values = panels["exact"].collections[1].get_array()
    at = np.ma.filled(values, np.nan).reshape(20, 24)
    assert at[5, 6] == pytest.approx(1)
    assert at[5, 7] == pytest.approx(2)
    assert at[9, 9] == pytest.approx(2)
    assert np.isfinite(at).sum() == 3


def test_the_picture_is_written_and_other_files_are_refused(comparison, tmp_path):
    plot_comparison(comparison, tmp_path / "out.png")
    assert imread(tmp_path / "out.png").shape[:2] == (1040, 2080)
    with pytest.raises(InputError, match=r"the extension \.csv; name it"):
        plot_comparison(comparison, tmp_path / "out.csv")
