"""
Add a method of your own
========================

A function that returns an estimate and its standard error is a method: it can be compared with the others
and deliver a file. The hold-out, the calibration and the score come by themselves.
"""

import numpy as np
import xarray as xr

import oceanfill

corner = {"time": slice("2024-04-01", "2024-04-14"), "lat": slice(37.5, 39.3), "lon": slice(-13.5, -11)}
with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds.nc")) as sample:
    clouds = sample.sel(corner).load()

# %%
# The function receives a `Field`: `values` is (time, lat, lon) with NaN where hidden or missing, `sea` is
# (lat, lon). This one fills each gap with the mean of the observed pixels on the same date.


def date_mean(field):
    """The mean of each date, with the standard deviation of that date as its error."""
    mean = np.nanmean(field.values, axis=(1, 2), keepdims=True)
    spread = np.nanstd(field.values, axis=(1, 2), keepdims=True)
    at_sea = np.where(field.sea, np.float32(1), np.float32(np.nan))
    shape = np.ones(field.values.shape, np.float32) * at_sea
    return mean * shape, spread * shape


clouds.oceanfill.compare("sst", [date_mean, "climatology", "linear-time"], quiet=True)

# %%
# It fills a field as any other method does.

filled = clouds.oceanfill.fill("sst", method=date_mean, quiet=True)
figure = filled.oceanfill.plot("sst", date="2024-04-08")
