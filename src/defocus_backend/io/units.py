"""Units of length and time: one table for OME-TIFF, OME-Zarr, ImageJ and plain TIFF."""

from __future__ import annotations

import re

_PREFIXES = (
    *(("Y", "yotta", 1e24), ("Z", "zetta", 1e21), ("E", "exa", 1e18), ("P", "peta", 1e15), ("T", "tera", 1e12)),
    *(("G", "giga", 1e9), ("M", "mega", 1e6), ("k", "kilo", 1e3), ("h", "hecto", 1e2), ("da", "deca", 10.0)),
    *(("", "", 1.0), ("d", "deci", 1e-1), ("c", "centi", 1e-2), ("m", "milli", 1e-3), ("µ", "micro", 1e-6)),
    *(("n", "nano", 1e-9), ("p", "pico", 1e-12), ("f", "femto", 1e-15), ("a", "atto", 1e-18)),
    *(("z", "zepto", 1e-21), ("y", "yocto", 1e-24)),
)

_LENGTHS = {f"{short}m": (f"{full}meter", factor) for short, full, factor in _PREFIXES}
_LENGTHS |= {
    "Å": ("angstrom", 1e-10),
    "thou": ("", 2.54e-5),
    "li": ("", 2.54e-2 / 12),
    "in": ("inch", 0.0254),
    "ft": ("foot", 0.3048),
    "yd": ("yard", 0.9144),
    "mi": ("mile", 1609.344),
    "ua": ("", 149_597_870_700.0),
    "ly": ("", 9.4607304725808e15),
    "pc": ("parsec", 3.0856775814913673e16),
    "pt": ("", 0.0254 / 72),
}
"""Symbol in the OME 2016-06 schema, mapped to the name in OME-Zarr (if any) and the size in metres."""

_TIMES = {f"{short}s": f"{full}second" for short, full, _ in _PREFIXES}
_TIMES |= {"min": "minute", "h": "hour", "d": "day"}

_WITHOUT_SIZE = ("pixel", "reference frame")
"""Units of the schema that are not lengths."""

_SPELLINGS = {
    **{name: symbol for symbol, (name, _) in _LENGTHS.items() if name},
    **{name.replace("meter", "metre"): symbol for symbol, (name, _) in _LENGTHS.items() if name.endswith("meter")},
    **{name: symbol for symbol, name in _TIMES.items()},
    **{
        "um": "µm",
        "micron": "µm",
        "inch": "in",
        "inche": "in",
        '"': "in",
        "a": "Å",
        "ang": "Å",
        "us": "µs",
        "sec": "s",
        "hr": "h",
    },
    **{"msec": "ms", "day": "d", "minute": "min", "hour": "h", "second": "s", "feet": "ft", "pixel": "pixel"},
}


def canonical(unit: str) -> str:
    """Symbol of a unit in the OME schema, for any spelling; unknown units are returned unchanged.

    ImageJ writes non-ASCII characters as ``\\\\u00B5``; Unicode has two micro signs; and UTF-8 that was read as Latin-1
    begins with ``Â``.
    """
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), str(unit)).strip("\0 ")
    text = text.replace("\u03bc", "µ").replace("\u212b", "Å").replace("Âµ", "µ").replace("Ã\x85", "Å")
    if text in _LENGTHS or text in _TIMES or text in _WITHOUT_SIZE:
        return text
    lower = text.lower()
    for spelled in (lower, lower.removesuffix("s")):
        if spelled in _SPELLINGS:
            return _SPELLINGS[spelled]
    return text


def escaped(unit: str) -> str:
    """The unit in ASCII, in the notation of ImageJ."""
    return "".join(c if c.isascii() and c.isprintable() else f"\\u{ord(c):04X}" for c in unit if ord(c) < 0x10000)


def microns(unit: str) -> float | None:
    """Size of a unit of length in micrometres; None if it is not a length."""
    known = _LENGTHS.get(canonical(unit))
    return None if known is None else known[1] * 1e6


def ome_symbol(unit: str, *, time: bool = False) -> str | None:
    """Symbol of a unit in the OME schema; None if it has none."""
    symbol = canonical(unit)
    return symbol if symbol in (_TIMES if time else (*_LENGTHS, *_WITHOUT_SIZE)) else None


def zarr_name(unit: str) -> str | None:
    """Name of a unit in OME-Zarr; None if the specification has none."""
    symbol = canonical(unit)
    if symbol in ("dam", "das"):
        return None
    return _TIMES.get(symbol) or (_LENGTHS[symbol][0] if symbol in _LENGTHS else None) or None
