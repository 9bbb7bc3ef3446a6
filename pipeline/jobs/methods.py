"""The methods that fill a field: ours, those of other packages, and plain functions.

A method is an object with a name, its properties and a call. Other packages add theirs through entry points
of the group ``oceanfill.methods``, each a `Method`, a function of a field, or several of these. Nothing here
imports torch before a method runs, so the command line can list the methods at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.side_products import write_side_product
from ..progress import APPLY, OTHERS, enter_stage, progress
from ..settings import FillSettings, Training
from ..training.networks import DESCRIBED, FIXED_GRID, NETWORKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.utils.data import DataLoader

    from ..classical.dineof import Eofs
    from ..holdout.calibration import Residuals
    from ..io.field import Field
    from ..training.data import GapData
    from ..training.tasks import Correction

    Floats = NDArray[np.float32]
    Estimate = tuple[Floats, Floats]  # mean and standard error (time, lat, lon), NaN outside the sea

GROUP = "oceanfill.methods"  # of entry points
DEFAULT, DEFAULT_OF_ONE_MAP = "pretrained", "oi"
TRAINED = "unet"  # the default where options of a training are given, and for currents
AUTOMATIC = ("climatology", "linear-space-time", "dineof", "unet")  # one of each family

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """One product that a method makes of a field, to be selected on validation values."""

    name: str
    estimate: Estimate  # at sea, from all observations
    trial: Estimate | None = None  # of the held-out values, without them
    further_residuals: Sequence[Residuals] = ()  # of values under further cloud masks
    corrects: Candidate | None = None  # the first guess
    method: str = ""  # that makes it, where the name is not that of a method
    curve: Sequence[Mapping[str, float]] = ()  # what its network logged in each epoch of its training
    network: Mapping[str, str] | None = None  # its file, empty if not kept, and SHA-256 of its weights
    window: int = 1  # dates that its network sees


Candidates = dict[str, Candidate]  # of one variable, the simplest first


@dataclass(frozen=True)
class Method:
    """A method of filling gaps.

    Call it with the data and the settings: it returns the candidates of each variable to be filled, by name
    and with the simplest first.
    """

    name: str  # on the command line
    run: Callable[[GapData, FillSettings], list[Candidates]]
    describe: str = ""  # one line for the help
    label: str = ""  # in words, for tables and logs
    pointwise: bool = False  # fills each pixel from its own series alone
    whole_maps: bool = False  # learns what does not hold for other parts of a map
    wraps: bool = True  # uses neighbours in space, so that a global grid must be joined at its ends
    needs_first_guess: bool = False  # so difficulty weights exist
    trains: bool = False  # a network
    general: bool = False  # a network that was trained on other data
    currents: bool = False  # fills the currents of radial velocities too
    single: bool = False  # fills a single map, from its own date alone
    usual: bool = True  # among the methods that `compare` tries by default

    def __call__(self, data: GapData, settings: FillSettings) -> list[Candidates]:
        return self.run(data, settings)

    @property
    def title(self) -> str:
        """The label, or the name of a method without one."""
        return self.label or self.name


def make_method(function: Callable[[Field], Estimate], name: str | None = None, **properties: Any) -> Method:
    """Return the method that a function of a field makes: it returns the estimate and its standard error."""
    name = name or getattr(function, "__name__", type(function).__name__).replace("_", "-")
    described = (getattr(function, "__doc__", None) or "").strip().splitlines()
    properties = {"describe": described[0] if described else "", "usual": False, "single": True} | properties
    return Method(name, partial(_run_function, name, function), **properties)


def find_methods() -> Mapping[str, Method]:
    """Return all methods by name: those of the entry points of the group ``oceanfill.methods``."""
    return _find_methods()


def find_method(method: Any) -> Method:
    """Return a method by its name, by ``package:attribute``, or from a `Method` or a function of a field.

    None is the default one. Raises `InputError` where there is none.
    """
    if method is None:
        method = DEFAULT
    if isinstance(method, Method):
        return method
    if callable(method):
        return make_method(method)
    known = _find_methods()
    if method in known:
        return known[method]
    if ":" not in str(method):
        raise InputError(f"no method is called {method!r}; choose one of {', '.join(known)}")
    module, _, attribute = str(method).partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"the method {method!r} cannot be imported ({error}); write it as package.module:function"
        ) from error
    if not callable(found):
        raise InputError(f"{method!r} is neither a function of a field nor a Method; name one that is")
    return found if isinstance(found, Method) else make_method(found)


def settle_method(settings: FillSettings) -> FillSettings:
    """Return the settings with the method that trains, where the default one does not do what they ask.

    The pretrained network is not trained from nothing, and does not fill radial velocities.
    """
    asked = settings.method
    if settings.currents.radial_direction is not None:
        if asked is None or find_method(asked).general:
            _log.info("currents are filled by a network that is trained on them (method='%s')", TRAINED)
            return replace(settings, method=TRAINED)
    elif asked is None and replace(settings.training, finetune=None, trust=False) != Training():
        if settings.training.checkpoint is None:
            _log.info("a network is trained, because options of a training are given (method='%s')", TRAINED)
        return replace(settings, method=TRAINED)
    return settings


def find_method_for(dates: int, asked: Any) -> Method:
    """Return the method ``asked`` for, or the default one, for a field of so many dates.

    Raises `InputError` where it needs several and there is one.
    """
    if asked is None and dates == 1:
        _log.info("a single map is filled by optimal interpolation in space (method='oi')")
        return find_method(DEFAULT_OF_ONE_MAP)
    method = find_method(asked)
    if dates > 1 or method.single:
        return method
    names = [one.name for one in _find_methods().values() if one.single]
    raise InputError(
        f"the method {method.name} needs several dates, and there is one; choose {' or '.join(names)} with "
        "method=, or give more files"
    )


def list_methods(dates: int) -> Mapping[str, Method]:
    """Return the methods, by name, that fill a field of so many dates."""
    return {name: method for name, method in find_methods().items() if dates > 1 or method.single}


@cache
def _find_methods() -> dict[str, Method]:
    found: dict[str, Method] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name != "oceanfill"):
        try:
            for method in _as_methods(entry.name, entry.load()):
                if found.setdefault(method.name, method) is not method:
                    _log.warning("the method %s of %s is taken; it is left out", method.name, entry.value)
        except Exception as error:  # a package that is broken must not stop the others
            _log.warning("the methods of %s cannot be loaded (%s)", entry.value, error)
    return found


def _as_methods(name: str, loaded: Any) -> Iterable[Method]:
    if isinstance(loaded, Method):
        return [loaded]
    if callable(loaded):
        return [make_method(loaded, name)]
    return [one if isinstance(one, Method) else make_method(one) for one in loaded]


def _run_function(
    name: str, function: Callable[[Field], Estimate], data: GapData, settings: FillSettings
) -> list[Candidates]:
    made = []
    for part in data.filled_variables:
        trial = _call(name, function, part.field.hide(part.held_out)) if part.is_judged else None
        made.append({name: Candidate(name, _call(name, function, part.field), trial)})
    return made


def _call(name: str, function: Callable[[Field], Estimate], field: Field) -> Estimate:
    """Call a function of a field; somebody else's gets values from which nothing is taken off.

    Raises `InputError` where somebody else's fails or returns no estimate.
    """
    import numpy as np

    if str(getattr(function, "__module__", "")).startswith(__package__.partition(".")[0]):
        return function(field)
    values = (field.values + np.float64(field.offset)).astype(np.float32)
    try:
        mean, error = function(replace(field, values=values, offset=0.0))
        mean = (np.asarray(mean, np.float64) - field.offset).astype(np.float32)
        error = np.asarray(error, np.float32)
    except Exception as reason:  # the code of the user, or of another package
        first = next(iter(str(reason).splitlines()), "")
        raise InputError(
            f"the method {name} failed ({type(reason).__name__}: {first}); repair it"
        ) from reason
    for part, what in ((mean, "estimate"), (error, "standard error")):
        if part.shape != field.values.shape:
            raise InputError(
                f"the method {name} returned an {what} of the shape {part.shape}, not "
                f"{field.values.shape} (time, lat, lon); repair it".replace("an standard", "a standard")
            )
    wrong = np.count_nonzero(~(np.isfinite(mean) & (error > 0))[:, field.sea])
    if wrong:
        raise InputError(
            f"the method {name} returned no finite estimate with a positive standard error at {wrong} sea "
            "values; repair it"
        )
    return mean, error


def _run_library(
    module: str, function: str, name: str, data: GapData, settings: FillSettings
) -> list[Candidates]:
    """Run a function of `classical`, which is imported now."""
    found = getattr(import_module(f"..classical.{module}", __package__), function)
    return _run_function(name, found, data, settings)


def run_first_guess(data: GapData, settings: FillSettings) -> list[Candidates]:
    """Local optimal interpolation in space and time, or the mean of each pixel."""
    name = "oi" if data.first_guess == "oi" else "pixel-means"
    made = []
    for part in data.filled_variables:
        part.prepare(whole=False)
        guess = part.guess, part.error
        candidate = Candidate(name, guess, method="oi")
        if part.is_judged:
            trial, further = (part.trial_guess, part.trial_error), part.further_residuals()
            candidate = replace(candidate, trial=trial, further_residuals=further)
        made.append({name: candidate})
    return made


def _run_general(data: GapData, settings: FillSettings) -> list[Candidates]:
    """The first guess, a general network's correction of it, and that of one trained further."""
    import torch

    if data.first_guess != "oi":
        _log.info("the pretrained network corrects optimal interpolation only; a U-Net is trained instead")
        return find_method(TRAINED)(data, settings)
    with torch.random.fork_rng():
        return [_correct_alone(part, settings) for part in data.take_apart()]


def _correct_alone(data: GapData, settings: FillSettings) -> Candidates:
    """Return the candidates of one variable, from the network that ships or from a checkpoint."""
    import numpy as np

    from ..classical.kriging import Kriging
    from ..training.checkpoints import SHIPPED, load_general, save_checkpoint
    from ..training.corrections import apply_correction, finetune_correction

    how = settings.training
    tasks, files = {"pretrained": load_general(None)}, {"pretrained": SHIPPED}
    if how.checkpoint:
        given = load_general(how.checkpoint, how.trust)
        kind = "finetuned" if given.trained_on.get("finetuned") else "pretrained"
        tasks[kind], files[kind] = given, how.checkpoint
    if how.finetune:
        tuned = finetune_correction(tasks["pretrained"], data, how.finetune)
        if tuned is None:
            _log.warning("%s: too few values to train the pretrained network further", data.field.name)
        else:
            tasks["finetuned"], files["finetuned"] = tuned, how.save_checkpoint or ""
    if how.save_checkpoint:
        last = list(tasks.values())[-1]
        write_side_product(partial(save_checkpoint, last, how.save_checkpoint))
    (made,) = run_first_guess(data, settings)
    assert isinstance(data.kriging, Kriging)
    noise = float(data.kriging.scales.nugget) + data.kriging.noise
    for name, task in tasks.items():
        data.window = task.window

        def correct(
            dates: DataLoader[Any], guesses: Sequence[Estimate], task: Correction = task
        ) -> list[Estimate]:
            corrected = apply_correction(task, _show_each(dates, data.quiet), guesses, data.device)
            if task.trained_on.get("finetuned"):
                return corrected
            # It was trained on the truth; the error to deliver is that of a new observation.
            return [(mean, np.sqrt(error**2 + np.float32(noise))) for mean, error in corrected]

        (made,) = _describe_network(name, _add_corrected(name, correct, data, [made]), task, files[name])
    return {name: replace(one, method="pretrained") if one.corrects else one for name, one in made.items()}


def _run_network(name: str, data: GapData, settings: FillSettings) -> list[Candidates]:
    """The first guess, and a network's correction of it. Leaves torch's random numbers as they were."""
    import torch

    with torch.random.fork_rng():
        return _correct_first_guess(name, data, settings)


def _correct_first_guess(name: str, data: GapData, settings: FillSettings) -> list[Candidates]:
    # Lightning takes seconds to import, which the other methods need not wait for.
    from ..training.checkpoints import load_correction, save_checkpoint
    from ..training.corrections import apply_correction, make_correction, train_correction

    how = settings.training
    if how.checkpoint:
        task = load_correction(how.checkpoint, data, how)
    else:
        task = make_correction(NETWORKS[name], data, how)
    data.window = task.window
    data.setup("test" if how.checkpoint else "fit")
    if not how.checkpoint:
        if not data.masked_inputs:
            _log.warning("too few values to train a network on; the first guess is delivered")
            return run_first_guess(data, settings)
        parameters = sum(weights.numel() for weights in task.parameters())
        message = "%s: %d parameters, a window of %d dates, patches of %d cells"
        _log.info(message, name, parameters, task.window, data.patch)
        task = train_correction(task, data, how)
    if how.save_checkpoint:
        write_side_product(partial(save_checkpoint, task, how.save_checkpoint))

    def correct(dates: DataLoader[Any], guesses: Sequence[Estimate]) -> list[Estimate]:
        return apply_correction(task, _show_each(dates, data.quiet), guesses, data.device)

    file = how.checkpoint or how.save_checkpoint or ""
    return _describe_network(name, correct_first_guess(name, correct, data, settings), task, file)


def _describe_network(name: str, made: list[Candidates], task: Correction, file: str) -> list[Candidates]:
    """Return the candidates with the network's learning curve, file, checksum and window."""
    from ..training.checkpoints import hash_weights

    network = {"file": file, "sha256": hash_weights(task.state_dict())}
    found: dict[str, Any] = {"curve": task.epochs, "network": network, "window": task.window}
    return [one | {name: replace(one[name], **found)} for one in made]


def correct_first_guess(
    name: str,
    correct: Callable[[DataLoader[Any], Sequence[Estimate]], list[Estimate]],
    data: GapData,
    settings: FillSettings,
) -> list[Candidates]:
    """Return the first guess, and its correction by a network.

    ``correct`` applies the network to the dates of a loader and to the guesses of all outputs.
    """
    return _add_corrected(name, correct, data, run_first_guess(data, settings))


def _add_corrected(
    name: str,
    correct: Callable[[DataLoader[Any], Sequence[Estimate]], list[Estimate]],
    data: GapData,
    guesses: Sequence[Candidates],
) -> list[Candidates]:
    """Return the candidates of each variable, of which the first is the first guess, and one more."""
    parts = data.filled_variables
    trials: list[Estimate | None] = [None] * len(parts)
    if any(part.is_judged for part in parts):
        without = [(part.trial_guess, part.trial_error) for part in parts]
        found = correct(data.trial_dataloader(), without)
        trials = [one if part.is_judged else None for one, part in zip(found, parts, strict=True)]
    corrected = correct(data.predict_dataloader(), [(part.guess, part.error) for part in parts])
    made = []
    for guess, estimate, trial in zip(guesses, corrected, trials, strict=True):
        first = next(iter(guess.values()))
        made.append(guess | {name: Candidate(name, estimate, trial, corrects=first)})
    return made


def _show_each(batches: DataLoader[Any], quiet: bool) -> Iterator[Any]:
    """Yield the batches and show how many are done."""
    with progress(APPLY, len(batches), quiet, APPLY) as advance:
        for batch in batches:
            yield batch
            advance(1)


def run_dineof(data: GapData, settings: FillSettings) -> list[Candidates]:
    """DINEOF of all variables together.

    The number of modes is chosen for each variable by values of its own; the files of the settings go with
    the first one.
    """
    from ..classical.dineof import count_modes, decompose, dineof, estimate_from_eofs, read_points
    from ..classical.season import remove_season

    files, made = settings.eofs, []
    number = count_modes(data.field) * sum(2 if part.is_judged else 1 for part in data.filled_variables)
    with progress("numbers of modes", number, data.quiet) as advance:
        for part in data.filled_variables:
            others = [other for other in data.variables if other is not part]
            is_first = part is data
            points = (
                read_points(files.cv_points, part.field) if files.cv_points is not None and is_first else None
            )
            fields, cycles = zip(*(remove_season(one.field) for one in (part, *others)), strict=True)
            eofs = decompose(fields, held_out=points, advance=advance)
            if files.save_eofs is not None and is_first:
                write_side_product(partial(_save_eofs, eofs, fields[0], files.save_eofs))
            trial = None
            if part.is_judged:
                seen, *rest = (one.field.hide(one.held_out) for one in (part, *others))
                trial = dineof(seen, *rest, advance=advance)
            mean, error = estimate_from_eofs(fields[0], eofs)
            made.append({"dineof": Candidate("dineof", (mean + cycles[0], error), trial)})
    return made


def _save_eofs(eofs: Eofs, field: Field, path: str) -> None:
    from ..io.writing import write_dataset

    write_dataset(eofs.to_dataset(field), path)
    _log.info("wrote %s (%d modes)", path, len(eofs.singular))


def run_automatic(data: GapData, settings: FillSettings) -> list[Candidates]:
    """One method of each family."""
    made: list[Candidates] = [{} for _ in data.filled_variables]
    for name in AUTOMATIC:
        enter_stage(OTHERS)  # the network comes last, in stages of its own
        _log.info("trying %s", name)
        for candidates, more in zip(made, find_method(name)(data, settings), strict=True):
            candidates.update(more)
    return made


def _baseline(name: str, describe: str, pointwise: bool = False, single: bool = False) -> Method:
    run = partial(_run_library, "baselines", _FUNCTIONS.get(name, name), name)
    return Method(
        name, run, describe, name.replace("-", " "), pointwise=pointwise, wraps=not pointwise, single=single
    )


_FUNCTIONS = {
    "linear-time": "linear_in_time",
    "linear-space": "linear_in_space",
    "linear-space-time": "linear_in_space_time",
}

METHODS: tuple[Method, ...] = (
    Method(
        "pretrained",
        _run_general,
        "oi, corrected by a network that was trained on many seas (the default)",
        "pretrained network",
        needs_first_guess=True,
        general=True,
        single=True,
    ),
    *(
        Method(
            name,
            partial(_run_network, name),
            describe,
            whole_maps=name in FIXED_GRID,
            wraps=name not in FIXED_GRID,
            needs_first_guess=True,
            trains=True,
            currents=name == "unet",
            usual=name == "unet",
        )
        for name, describe in DESCRIBED.items()
    ),
    Method(
        "oi",
        run_first_guess,
        "local optimal interpolation in space and time, fitted to the field",
        "optimal interpolation",
        needs_first_guess=True,
        currents=True,
        single=True,
    ),
    Method(
        "dineof",
        run_dineof,
        "iterated truncated SVD, its number of modes cross-validated",
        "DINEOF",
        whole_maps=True,
        wraps=False,
    ),
    _baseline(
        "climatology", "the mean of each pixel, with its season where the record is long", pointwise=True
    ),
    _baseline("persistence", "the last observed value", pointwise=True),
    _baseline("nearest", "the nearest value of the same date", single=True),
    _baseline("linear-time", "linear between the dates that observe a pixel", pointwise=True),
    _baseline("linear-space", "linear between the pixels observed on a date", single=True),
    _baseline("linear-space-time", "both, each weighted by its error"),
    Method(
        "blend",
        partial(_run_library, "blend", "blend", "blend"),
        "a mean of oi, linear-time and dineof, weighted by their errors",
        whole_maps=True,
    ),
    Method(
        "auto",
        run_automatic,
        "the best of one method of each family on validation values",
        whole_maps=True,
        needs_first_guess=True,
        trains=True,
        usual=False,
    ),
)
