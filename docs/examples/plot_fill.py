"""
Fill a temperature field and check it
=====================================

Two weeks of a corner of the sea surface temperature sample are half hidden by clouds. They are filled by
optimal interpolation, drawn with their standard error, and scored on the temperatures under the clouds.
"""

import xarray as xr

import oceanfill

corner = {"time": slice("2024-04-01", "2024-04-14"), "lat": slice(37.5, 39.3), "lon": slice(-13.5, -11)}
with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds.nc")) as sample:
    clouds = sample.sel(corner).load()
oceanfill.info(clouds)

# %%
# `fill` hides some of the observed values under the clouds of other dates, fits the covariance to the rest,
# and scores and calibrates itself on the values that it hid.

filled = clouds.oceanfill.fill("sst", method="oi", quiet=True)
filled

# %%
# The filled field has no gaps. Its standard error is small near observations and large in the middle of
# wide gaps.

figure = filled.oceanfill.plot("sst", date="2024-04-08")

# %%
# The sample is synthetic, so the temperature under its clouds is known. `coverage_1sigma` is the fraction
# of it that lies within one standard error; 68% would be perfect.

with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds_truth.nc")) as sample:
    (row,) = oceanfill.score(filled, sample.sel(corner))
row
