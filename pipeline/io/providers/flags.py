"""What the large providers' quality flags mean and which values they advise to keep: one table."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownFlag:
    """A flag of a product, and which of its values are kept.

    In ``flag``, ``{variable}`` stands for the name of the flagged variable. The values that are kept are
    those that ``compare`` with one of ``values``; where the flag has bits, those without the bits
    ``without``, which are named by ``flag_meanings`` and otherwise those in ``mask``. Single values ("in",
    "not in") are those of the table only where the file does not say what they mean.
    """

    flag: str  # regular expression of the whole name, in lower case
    source: str
    compare: str = "in"  # or ">=", "<=", "not in"
    values: tuple[int, ...] = ()
    without: tuple[str, ...] = ()
    mask: int = 0
    variable: str = ".*"  # regular expression of the names of the flagged variables, in lower case
    linked: bool = False  # only where the variable names it among its ancillary variables
    meanings: str = ""  # a word that the flag's meanings hold, where it has any; another flag otherwise


# Meanings by bit, as in the attributes of every file with l2_flags.
_L3_MASKS = (
    *("ATMFAIL", "LAND", "HIGLINT", "HILT", "HISATZEN", "STRAYLIGHT", "CLDICE", "COCCOLITH", "HISOLZEN"),
    *("LOWLW", "CHLFAIL", "NAVWARN", "MAXAERITER", "CHLWARN", "ATMWARN", "NAVFAIL"),
)
_SST = r"sst.*|sea_surface_temperature.*"
_OF_PLACE = (
    r"(time|juld|position|latitude|longitude|lat|lon|deph|depth|pres)_(qc|qc_flag|quality|quality_flag|flag)"
)

KNOWN_FLAGS = (
    KnownFlag(
        r"quality_level",
        "GHRSST Data Processing Specification 2.0 revision 5, quality_level: 4 acceptable, 5 best",
        ">=",
        (4,),
        meanings="best",
    ),
    KnownFlag(
        r"l2p_flags",
        "GHRSST Data Processing Specification 2.0 revision 5, l2p_flags: bit 1 land, bit 2 ice",
        without=("land", "ice"),
        mask=6,
    ),
    KnownFlag(
        r"qual_{variable}",
        "NASA Ocean Biology DAAC, SST quality levels: 0 best, 1 good, 2 questionable, 3 bad, 4 not processed",
        "<=",
        (1,),
        variable=_SST,
    ),
    KnownFlag(
        r"l2_flags",
        "NASA Ocean Biology DAAC, l2_flags: of temperatures qual_sst holds the quality",
        without=("LAND", "NAVFAIL"),
        mask=(1 << 1) + (1 << 25),
        variable=_SST,
    ),
    KnownFlag(
        r"l2_flags",
        "NASA Ocean Biology DAAC, Level 2 ocean color flags: default masks of Level 3 "
        "(oceancolor.gsfc.nasa.gov/resources/atbd/ocl2flags)",
        without=_L3_MASKS,
        mask=sum(1 << bit for bit in (0, 1, 3, 4, 5, 8, 9, 10, 12, 14, 15, 16, 19, 21, 22, 25)),
    ),
    KnownFlag(
        r"(sss|lsc|isc)_qc",
        "ESA CCI sea surface salinity, product user guide: 0 good, 1 bad (overall, near land, near ice)",
        "in",
        (0,),
        variable=r"sss",
    ),
    KnownFlag(
        r"confidence_level",
        "OSI SAF sea ice, confidence level: 3 acceptable, 4 good, 5 excellent",
        ">=",
        (3,),
        variable=r"ice_(conc|edge|type).*",
        meanings="excellent",
    ),
    KnownFlag(
        r"status_flag",
        "OSI SAF and C3S sea ice concentration, status flag: what filters set or interpolated is kept",
        without=("land", "lake"),
        mask=3,
        variable=r"ice_conc.*|raw_ice_conc.*",
        meanings="filter",
    ),
    KnownFlag(
        r".*qartod.*",
        "IOOS QARTOD flags: 1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing",
        "not in",
        (3, 4, 9),
    ),
    KnownFlag(
        _OF_PLACE,
        "Copernicus Marine in situ and SeaDataNet quality flags: 3 and 4 bad, 9 missing",
        "not in",
        (3, 4, 9),
    ),
    KnownFlag(
        r"qcflag|qc_flag|{variable}_qc(_flag)?",
        "Copernicus Marine in situ, SeaDataNet and European HF radar quality flags: 1 good, 2 probably good",
        "in",
        (1, 2),
    ),
    KnownFlag(
        r".*_qc",
        "European HF radar quality flags of single tests: 3 and 4 bad",
        "not in",
        (3, 4),
        linked=True,
    ),
    KnownFlag(r"nasa_flag", "NASA-SSH along-track sea surface height: 0 good, 1 bad", "in", (0,)),
    KnownFlag(
        r"quality_flag",
        "AVISO SWOT Level 3 KaRIn sea surface height: 0 good",
        "in",
        (0,),
        variable=r"ssha?(_.*)?",
    ),
)

# Meanings (CF 3.5) of other flags, by their words.
GOOD_WORDS = frozenset(("good", "valid", "ok", "correct", "acceptable", "best", "pass", "passed"))
BAD_WORDS = frozenset(
    (
        *("bad", "invalid", "suspect", "suspected", "fail", "failed", "failure", "error", "wrong"),
        *("erroneous", "degraded", "doubtful", "questionable", "unusable", "rejected", "missing", "worst"),
        *("contaminated", "contamination", "spike", "outlier", "unreliable"),
    )
)
BAD_BITS = BAD_WORDS | {"land", "ice", "cloud", "cloudy", "rain", "glint", "straylight"}
NOT_BAD = re.compile(r"^(not|no)_?(bad|suspect|error|fail|cloud|land|ice|rain|glint)")  # despite their words
UNCERTAIN = frozenset(("not", "no", "unknown"))  # no good value, and a bad one only with a word of praise

SSES = ("sses_bias", "sses_standard_deviation")  # GHRSST: sensor-specific error statistics
