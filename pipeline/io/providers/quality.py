"""Quality flags: which ones hold for a variable, which values they let pass, and what they took.

The rules come from the providers (`flags.KNOWN_FLAGS`), from the meanings in the file (CF 3.4 and 3.5), or
from an expression of the user's.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...errors import InputError
from ..layout.coordinates import is_flag, is_mask, list_names
from ..layout.roles import split_names
from ..opening import Opening
from .flags import BAD_BITS, BAD_WORDS, GOOD_WORDS, KNOWN_FLAGS, NOT_BAD, SSES, UNCERTAIN, KnownFlag

_FORM = "write it as 'quality_level>=3', 'flag==1' or 'flags&6==0', several joined by commas"
_TERM = re.compile(r"([\w.\-]+?)\s*(?:&\s*([\w|.]+))?\s*(?:(>=|<=|==|!=|=|>|<)\s*([\w.+\-]+))?")
_COMPARE = {
    **{">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt},
    **{"==": operator.eq, "!=": operator.ne},
}
_OVERALL = re.compile(r"(qc|quality|primary)_?flag|quality|qc|overall_.*", re.IGNORECASE)
_GENERAL = re.compile(
    r"(quality|qc|status)(_?(flag|level|index))?s?|flags?|overall_(qc|quality).*|qcflag|primary_flag",
    re.IGNORECASE,
)
_LOOKS_LIKE_FLAG = re.compile(
    r"(^|_)(qc|qcflag|qual|quality_(level|flag)|l2p?_flags|flags?)($|_)", re.IGNORECASE
)
_PAIRS = re.compile(r"(-?\d+)\s*[=:]\s*([A-Za-z][A-Za-z _]*)")
_REASON = "flagged by "


@dataclass(frozen=True)
class Rule:
    """Which values are kept by a flag, after ``mask`` if it has bits."""

    flag: str
    compare: str  # of `_COMPARE`, "in" or "not in"
    values: tuple[float, ...]
    source: str
    mask: int | None = None
    named: str = ""  # the bits or values in words

    def keeps(self, flag: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether values are kept. A missing flag has no bits and no value."""
        number: NDArray[Any] = flag
        if self.mask is not None:
            known = np.isfinite(flag)
            number = np.where(known, flag, 0).astype(np.int64) & self.mask
        if self.compare in _COMPARE:
            kept: NDArray[np.bool_] = _COMPARE[self.compare](number, self.values[0])
            return kept & ~np.isnan(number) if self.compare == "!=" else kept
        found = np.isin(number, self.values)
        return found if self.compare == "in" else ~found

    @property
    def words(self) -> str:
        """The values that are kept, and the source of the rule."""
        bits = "" if self.mask is None else f" & {self.mask}"
        what = f"{bits} {self.compare} {', '.join(f'{value:g}' for value in self.values)}"
        if self.named:
            what = f" is {'not ' * (self.compare != 'in')}{self.named}"
        return f"kept where {self.flag}{what} ({self.source})"


def find_rules(file: str, dataset: xr.Dataset, variable: str, opening: Opening) -> list[Rule]:
    """Return the rules that hold for a variable, one flag after another.

    Raises `InputError` for an expression that cannot be understood, or names no flag.
    """
    if opening.quality is None:
        flags = [name for name in find_flags(dataset) if _fits(dataset, variable, name)]
        linked = _find_linked(dataset, variable, flags)
        return [rule for name in flags for rule in _find_rule(dataset, variable, name, linked)]
    if opening.quality.strip().lower() == "none":
        return []
    terms = re.split(r",|&&|\s+and\s+", opening.quality.strip())
    return [_parse_term(file, dataset, term.strip()) for term in terms]


def find_flags(dataset: xr.Dataset) -> list[str]:
    """Return the names of all flags of quality or status."""
    return [
        str(name)
        for name, array in dataset.variables.items()
        if array.dtype.kind in "iuf"
        and not is_mask(str(name), dataset[name])
        and (
            is_flag(dataset[name])
            or re.search(r"\b(status|quality)_flag", str(array.attrs.get("standard_name", "")))
            or _LOOKS_LIKE_FLAG.search(str(name))
            or any(re.fullmatch(known.flag, str(name).lower()) for known in KNOWN_FLAGS)
        )
    ]


def describe_unused(dataset: xr.Dataset, variable: str, rules: Sequence[Rule], sses: bool) -> list[str]:
    """Return in words the flags without a rule, and what else is known of the quality and not used."""
    used = {rule.flag for rule in rules}
    unused = [name for name in find_flags(dataset) if name not in used and name != variable]
    words = [f"not used: {name}{_show_meanings(dataset[name].attrs)}" for name in unused]
    if SSES[0] in dataset.variables and not sses:
        words.append(
            f"{' and '.join(SSES)} are not used; sses=True subtracts the bias and takes the deviation as "
            "observation error"
        )
    return words


def apply_rules(
    data: xr.Dataset, variable: str, rules: Sequence[Rule]
) -> tuple[xr.DataArray, dict[str, int], tuple[str, ...]]:
    """Return the variable without the excluded values, how many each rule took, and the rules in words.

    The flags are variables of ``data`` on some of the variable's dimensions.
    """
    array = data[variable]
    values = array.to_numpy()
    lost: dict[str, int] = {}
    for rule in rules:
        flag = data[rule.flag].variable
        kept = xr.Variable(flag.dims, rule.keeps(flag.to_numpy()))
        missing = {dim: array.sizes[dim] for dim in array.dims if dim not in kept.dims}
        bad = (
            np.isfinite(values) & ~kept.set_dims({**missing, **kept.sizes}).transpose(*array.dims).to_numpy()
        )
        values = np.where(bad, values.dtype.type(np.nan), values)
        reason = f"{_REASON}{rule.flag}"
        lost[reason] = lost.get(reason, 0) + int(np.count_nonzero(bad))
    return array.copy(data=values), lost, tuple(rule.words for rule in rules)


def took_all(lost: Sequence[str]) -> str:
    """Return what to do where the values taken for these reasons are all there are; nothing without flags."""
    if not any(reason.startswith(_REASON) for reason in lost):
        return ""
    return (
        "choose which values are kept with quality=, as 'quality_level>=3', or keep all with quality='none'"
    )


def check_sses(file: str, dataset: xr.Dataset) -> None:
    """Raise `InputError` for a file without the error statistics of GHRSST."""
    lacking = [name for name in SSES if name not in dataset.variables]
    if lacking:
        raise InputError(
            f"{file}: there is no {list_names(lacking)}, which GHRSST files have; leave out sses="
        )


def subtract_bias(data: xr.Dataset, variable: str) -> tuple[xr.DataArray, tuple[str, ...]]:
    """Return the variable less the sensor-specific bias, zero where it is missing, and that in words."""
    array, bias = data[variable], data[SSES[0]].transpose(*data[variable].dims).to_numpy()
    values = array.to_numpy()
    without = np.count_nonzero(np.isfinite(values) & ~np.isfinite(bias))
    words = [f"less {SSES[0]}, whose observation error is {SSES[1]}"]
    words += [f"some values have no {SSES[0]} and stay as they are"] if without else []
    return array.copy(data=values - np.nan_to_num(bias).astype(values.dtype)), tuple(words)


def _fits(dataset: xr.Dataset, variable: str, name: str) -> bool:
    dims = [dim for dim in dataset[name].dims if dataset.sizes[dim] > 1]
    return name != variable and set(dims) <= set(dataset[variable].dims)


def _find_linked(dataset: xr.Dataset, variable: str, flags: Sequence[str]) -> list[str]:
    """Return the flags that hold for the variable: linked, named after it or general (CF 3.4)."""
    held = dataset[variable]
    ancillary = split_names(held.attrs.get("ancillary_variables") or held.encoding.get("ancillary_variables"))
    standard_name = str(held.attrs.get("standard_name", ""))
    word, escaped = "(qc|qual|quality|flags?|status)", re.escape(variable)
    own = re.compile(rf"{escaped}_?{word}(_.*)?|{word}_{escaped}", re.IGNORECASE)
    found = []
    for name in flags:
        of = str(dataset[name].attrs.get("standard_name", "")).split()
        modified = len(of) == 2 and of[0] == standard_name and of[1] in ("status_flag", "quality_flag")
        if name in ancillary or own.fullmatch(name) or _GENERAL.fullmatch(name) or modified:
            found.append(name)
    return found


def _find_rule(dataset: xr.Dataset, variable: str, name: str, linked: Sequence[str]) -> list[Rule]:
    """Return the rules of a flag: that of its product, or else of its meanings, or none."""
    attrs = _complete_meanings(dataset[name].attrs)
    meanings = list(split_names(attrs.get("flag_meanings")))
    overall = any(_OVERALL.fullmatch(other) for other in linked if other != name)
    only_bad = overall and not _OVERALL.fullmatch(name)
    for known in KNOWN_FLAGS:
        pattern = known.flag.replace("{variable}", re.escape(variable.lower()))
        if (
            not re.fullmatch(pattern, name.lower())
            or not re.fullmatch(known.variable, variable.lower())
            or (known.meanings and meanings and known.meanings not in " ".join(meanings).lower())
            or (known.linked and name not in linked)
        ):
            continue
        said: list[Rule] = []
        if known.values and known.compare in ("in", "not in") and meanings:
            said = _read_meanings(name, attrs, meanings, only_bad or known.compare == "not in")
        return said or [_from_table(known, name, attrs, meanings)]
    return _read_meanings(name, attrs, meanings, only_bad) if name in linked and meanings else []


def _complete_meanings(attrs: dict[Any, Any]) -> dict[Any, Any]:
    """Return the attributes with the meanings that only a title such as "quality, 0=Good; 1=Bad" gives."""
    pairs = _PAIRS.findall(str(attrs.get("long_name", "")))
    if "flag_meanings" in attrs or len(pairs) < 2:
        return attrs
    meanings = " ".join(meaning.strip().replace(" ", "_") for _, meaning in pairs)
    return attrs | {"flag_values": [int(value) for value, _ in pairs], "flag_meanings": meanings}


def _from_table(known: KnownFlag, name: str, attrs: dict[Any, Any], meanings: list[str]) -> Rule:
    if not known.without:
        return Rule(name, known.compare, known.values, known.source)
    masks = _read_integers(attrs.get("flag_masks"), len(meanings))
    wanted = {word.lower() for word in known.without}
    bits = [int(bit) for bit, meaning in zip(masks, meanings, strict=False) if meaning.lower() in wanted]
    mask = int(np.bitwise_or.reduce(bits)) if bits else known.mask
    return Rule(name, "==", (0,), known.source, mask, list_names(known.without, 20))


def _read_meanings(name: str, attrs: dict[Any, Any], meanings: list[str], only_bad: bool) -> list[Rule]:
    """Return the rules by the words of a flag's meanings.

    Of values, those with a good meaning are kept, or all but bad ones where none is good or ``only_bad``; of
    bits, those with a bad meaning are not kept.
    """
    values = _read_integers(attrs.get("flag_values"), len(meanings))
    masks = _read_integers(attrs.get("flag_masks"), len(meanings))
    source = "meanings in the file"
    if len(masks):
        bad = [k for k, meaning in enumerate(meanings) if _is_bad(meaning, BAD_BITS)]
        if not len(values):
            mask = int(np.bitwise_or.reduce(masks[bad])) if bad else 0
            named = list_names((meanings[k] for k in bad), 20)
            return [Rule(name, "==", (0,), source, mask, named)] if mask else []
        return [
            Rule(
                name,
                "not in",
                tuple(values[k].item() for k in bad if masks[k] == mask),
                source,
                int(mask),
                list_names(meanings[k] for k in bad if masks[k] == mask),
            )
            for mask in np.unique(masks[bad])
        ]
    if not len(values) and "flag_values" not in attrs:
        values = np.arange(len(meanings))  # without values the meanings are counted from zero
    if not len(values):
        return []
    good = [k for k, meaning in enumerate(meanings) if _is_good(meaning)]
    bad = [k for k, meaning in enumerate(meanings) if _is_bad(meaning, BAD_WORDS)]
    chosen, compare = (bad, "not in") if only_bad or not good else (good, "in")
    if not chosen:
        return []
    named = list_names((meanings[k] for k in chosen), 20)
    return [Rule(name, compare, tuple(values[k].item() for k in chosen), source, named=named)]


def _is_good(meaning: str) -> bool:
    words = _split_words(meaning)
    return bool(
        NOT_BAD.match(meaning.lower()) or (words & GOOD_WORDS and not words & (BAD_WORDS | UNCERTAIN))
    )


def _is_bad(meaning: str, bad: frozenset[str]) -> bool:
    words = _split_words(meaning)
    denied = words & UNCERTAIN and words & GOOD_WORDS  # "not_good"
    return bool(words & bad or denied) and not NOT_BAD.match(meaning.lower())


def _split_words(meaning: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", meaning.lower()))


def _read_integers(attribute: Any, count: int) -> NDArray[np.int64]:
    """Return an attribute of one integer for each meaning, or nothing."""
    if isinstance(attribute, str):
        found = re.findall(r"-?\d+", attribute)
        attribute = [int(text) for text in found]
    if attribute is None or np.size(attribute) != count:
        return np.zeros(0, np.int64)
    return np.ravel(np.asarray(attribute)).astype(np.int64)


def _show_meanings(attrs: dict[Any, Any]) -> str:
    meanings = split_names(attrs.get("flag_meanings"))
    return f" ({list_names(meanings)})" if meanings else ""


def _parse_term(file: str, dataset: xr.Dataset, term: str) -> Rule:
    """Return the rule of one term. ``flag&mask`` alone keeps values with none of these bits."""
    matched = _TERM.fullmatch(term)
    if matched is None or (matched[2] is None and matched[3] is None):
        raise InputError(f"the quality rule {term!r} cannot be understood; {_FORM}")
    name, bits, compare, value = matched.groups()
    if name not in dataset.variables:
        known = list_names(find_flags(dataset))
        raise InputError(f"{file}: there is no flag {name!r}; the file's flags are {known}")
    array = dataset[name]
    if array.dtype.kind not in "iuf":
        raise InputError(f"{file}: {name} does not hold numbers, so it is no flag; choose another")
    mask = None
    if bits is not None:
        mask = int(np.bitwise_or.reduce([int(_read_number(array, part)) for part in bits.split("|")]))
    number = 0.0 if value is None else _read_number(array, value)
    return Rule(name, {None: "==", "=": "=="}.get(compare, compare), (number,), "quality=", mask)


def _read_number(array: xr.DataArray, text: str) -> float:
    """Return a number, or the value or the bit of one of a flag's meanings."""
    try:
        return float(int(text, 0))
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        meanings = [meaning.lower() for meaning in split_names(array.attrs.get("flag_meanings"))]
        for key in ("flag_masks", "flag_values"):
            numbers = _read_integers(array.attrs.get(key), len(meanings))
            if text.lower() in meanings and len(numbers):
                return float(numbers[meanings.index(text.lower())])
        raise InputError(
            f"{text!r} is neither a number nor a meaning of {array.name} ({list_names(meanings)}); {_FORM}"
        ) from None
