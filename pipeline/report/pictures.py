"""The pictures of a report, each with the words that stand for it where it is not seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ..errors import InputError
from ..holdout.score_classes import LEVELS
from ..plots.layers import LAYERS, MapSeries, choose_styles, read_filled
from ..plots.maps import draw_date
from ..plots.scores import KINDS, draw_classes, draw_curve, draw_dates, draw_reliability
from ..plots.spectra import draw_spectra, find_spectra
from .contents import Attributes, score_units
from .parts import Picture, Section, embed_figure, format_number, format_time
from .survey import Survey, spread_dates

_DATES_OF_SPECTRA = 60
_MAP_SIZE = 0.75  # of the usual one: texts are then large enough on a phone


def draw_map_sections(dataset: xr.Dataset, survey: Survey) -> Iterator[Section]:
    """Yield a section of maps for the date with the largest and for that with the least standard error."""
    worst, best = survey.find_ends()
    known = np.isfinite(survey.error).all()
    what = "standard error" if known else "share of missing values"
    chosen = [("largest", worst), ("least", best)] if worst != best else [("", worst)]
    # In order of time, as the reader of files expects it.
    numbers = sorted({worst, best})
    series = _read_dates(dataset, survey, numbers)
    for extreme, number in chosen:
        at = numbers.index(number)
        date = format_time(survey.dates[number])
        heading = f"Maps of {date}" + (f": the {extreme} {what}" if extreme else "")
        text = f"{100 * survey.missing[number]:.0f}% of the sea is missing"
        if known:
            text += f"; the root mean square standard error is {format_number(survey.error[number])} "
            text += series.units
        pictures = _draw_maps(series, at, date)
        yield Section(heading, [f"{text.strip()}. Land is grey, gaps are hatched."], pictures=pictures)


def _draw_maps(series: MapSeries, at: int, date: str) -> list[Picture]:
    shown = series.usual
    # Values change with the season, so each date has its colours; errors are compared between dates.
    styles = choose_styles(series, shown, dates=at) | choose_styles(series, ("error",))
    made = []
    for layer in shown:
        figure, _, _ = draw_date(series, at, (layer,), styles)
        width, height = (_MAP_SIZE * float(side) for side in figure.get_size_inches())
        figure.set_size_inches(width, height)
        values = series.layers[layer][at][series.sea]
        values = values[np.isfinite(values)]
        alt = f"Map of {series.title}, {LAYERS[layer]}, {date}: "
        if values.size:
            low, middle, high = (format_number(value) for value in np.quantile(values, (0, 0.5, 1)))
            alt += f"{low} to {high} {series.units}".strip() + f", median {middle}."
        else:
            alt += "no value."
        made.append(embed_figure(figure, alt, f"{LAYERS[layer]}, {date}"))
    return made


def draw_by_date(survey: Survey, units: str) -> Section:
    """Return the section of gaps and errors by date."""
    error = survey.error[np.isfinite(survey.error)]
    alt = f"Two charts against the date: {100 * survey.missing.min():.0f}% to "
    alt += f"{100 * survey.missing.max():.0f}% of the sea is missing"
    if error.size:
        alt += f"; the standard error is {format_number(error.min())} to {format_number(error.max())} {units}"
    figure = draw_dates(survey.dates, survey.missing, survey.error, units)
    caption = (
        "Share of the sea without an observed value, and root mean square standard error of the analysis"
    )
    picture = embed_figure(figure, alt.strip() + ".", caption)
    return Section("Gaps and errors by date", pictures=[picture])


def draw_scores(survey: Survey, attributes: Attributes) -> list[Picture]:
    """Return the pictures of the RMSE by class, one for each kind that the file has."""
    classes, made = attributes.classes, []
    if classes is None:
        return []
    units = score_units(survey, attributes)
    for kind, what in KINDS.items():
        rows = [score for score in classes.scores if score.by == kind]
        if not rows:
            continue
        alt = f"Chart of the RMSE {what}: "
        alt += ", ".join(f"{row.name} {format_number(row.rmse)}" for row in rows) + f" {units}".rstrip() + "."
        caption = f"RMSE {what}; bars are 95% intervals, the dashed line is for all hidden values"
        made.append(embed_figure(draw_classes(classes.scores, kind, units), alt, caption))
    return made


def draw_reliability_section(attributes: Attributes) -> Section | None:
    """Return the section of the reliability of the error, or None where it is unknown."""
    classes = attributes.classes
    if classes is None or not classes.reliability:
        return None
    inside = dict(zip(LEVELS, classes.reliability, strict=True))
    some = ", ".join(f"{100 * inside[level]:.0f}% in the {level}% interval" for level in (50, 80, 95))
    picture = embed_figure(
        draw_reliability(classes.reliability),
        f"Reliability diagram: of the hidden values, {some}.",
        "Share of the hidden values inside each prediction interval; on the diagonal the error is honest, "
        "below it the intervals are too narrow",
    )
    return Section("Reliability of the error", pictures=[picture])


def draw_spectra_section(dataset: xr.Dataset, survey: Survey) -> Section:
    """Return the section of spectra, or why there is none."""
    heading, series = "Spectra", _read_dates(dataset, survey, spread_dates(survey, _DATES_OF_SPECTRA))
    try:
        found = find_spectra(series)
    except InputError as reason:
        return Section(heading, [f"No spectrum: {reason}."])
    parts = []
    for name, density in found.density.items():
        # The share of the variance at the short half of the wavelengths says how smooth a field is.
        short = density[len(density) // 2 :].sum() / max(density.sum(), np.finfo(float).tiny)
        parts.append(f"{name} {format_number(100 * short)}%")
    wave = 1 / found.wavenumber[len(found.wavenumber) // 2]
    alt = f"Power spectra along rows. Share of the power at wavelengths up to {wave:.0f} km: "
    alt += f"{', '.join(parts)}."
    caption = (
        "Power by wavelength. A steeper fall in gaps shows the scales that are smoothed away where nothing "
        "was observed"
    )
    return Section(heading, pictures=[embed_figure(draw_spectra(series), alt, caption)])


def draw_training(attributes: Attributes) -> Section | None:
    """Return the section of a network's training, or None where none was trained."""
    curve = attributes.curve
    if not curve:
        return None
    alt = f"Learning curve of {len(curve)} epochs"
    held = [epoch["held_out"] for epoch in curve if "held_out" in epoch]
    if held:
        best = int(np.argmin(held)) + 1
        alt += (
            f": the RMSE on validation values is {format_number(held[0])} of that of the first guess after "
        )
        alt += f"the first epoch and least, {format_number(min(held))}, after epoch {best}"
    which = "epoch with the least RMSE on validation values" if held else "last epoch"
    caption = f"The network of the {which} is used, unless several were averaged"
    picture = embed_figure(draw_curve(curve), alt + ".", caption)
    return Section("Learning curve", pictures=[picture])


def _read_dates(dataset: xr.Dataset, survey: Survey, numbers: list[int]) -> MapSeries:
    """Return the maps of some dates, by their numbers in ascending order."""
    names = [name for name in map(str, dataset.data_vars) if name.startswith(survey.name)]
    names = [name for name in names if survey.layout.t in dataset[name].dims]
    return read_filled(dataset[names].isel({survey.layout.t: numbers}).load(), survey.name)
