"""Sidecar file of a network in ONNX format: a JSON file that describes its input and output."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from defocus_backend.errors import InputError
from defocus_backend.options import unknown_option

_MOST_BYTES = 64 * 1024
_MOST_PIXELS = 8192
_CHANNELS = {"gray": 1, "rgb": 3, "bgr": 3}


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """Description of the input and output of a network.

    Attributes
    ----------
    channels : {"gray", "rgb", "bgr"}
        Channels of the input.
    unit : {"px", "relative"}
        Unit of the map, after `scale` and `offset`: sigma in pixels, or only an order.
    input_range : (float, float)
        Input values of black and white.
    mean, std : tuple of float
        Mean that is subtracted from the input, and standard deviation by which it is divided; one number, or one per
        channel in order.
    scale, offset : float
        The map is ``scale * output + offset``. A negative scale turns a map of sharpness into one of blur.
    layout : {"NCHW", "NHWC"}
        Order of the axes of its input and output.
    output : str or None
        Name of the output that is the map, if there are several.
    output_channel : int or None
        Number of the channel that is the map, if there are several.
    multiple_of : int
        Height and width of the input must be multiples of this number of pixels.
    halo : int or None
        Radius in pixels of the neighbourhood on which a value of the map depends: half of the receptive field. With it,
        large images are processed in tiles; with None, as a whole.
    text, citation : str
        Description and source of the network, for lists.
    """

    channels: str
    unit: str
    input_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1.0
    offset: float = 0.0
    layout: str = "NCHW"
    output: str | None = None
    output_channel: int | None = None
    multiple_of: int = 1
    halo: int | None = None
    text: str = "network in ONNX format"
    citation: str = "its file"

    @property
    def channel_count(self) -> int:
        """1 for gray, else 3."""
        return _CHANNELS[self.channels]


def read_sidecar(model: Path) -> Sidecar:
    """Read the sidecar of a model: the file of the same name with the suffix ``.json``.

    Raises
    ------
    InputError
        If it is missing or invalid; the message names the key and the expected value.
    """
    path = model.with_suffix(".json")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError("map_method", f"{path} of more than {_MOST_BYTES} bytes", "a sidecar")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        keys = '{"channels": "gray", "unit": "px"}'
        raise InputError(
            "map_method", f"{model} without {path.name}", f"a sidecar beside it, such as {keys}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("map_method", f"{path} ({error})", "a JSON file") from error
    if not isinstance(found, dict):
        raise InputError("map_method", f"{path}, which is not a JSON object", "keys with values")
    known = [field.name for field in fields(Sidecar)]
    try:
        unknown = [key for key in found if key not in known]
        if unknown:
            raise unknown_option(unknown[0], known)
        missing = [key for key in ("channels", "unit") if key not in found]
        if missing:
            raise InputError(missing[0], "none", "this key, see the page on networks from other sources")
        values = {key: _CHECKS[key](key, value) for key, value in found.items()}
        sidecar = Sidecar(**values)
        _check_together(sidecar)
    except InputError as error:
        raise InputError("map_method", f"{path}: {error.argument} is {error.given}", error.wanted) from error
    return sidecar


def _check_together(sidecar: Sidecar) -> None:
    for name in ("mean", "std"):
        if len(getattr(sidecar, name)) not in (1, sidecar.channel_count):
            raise InputError(name, str(list(getattr(sidecar, name))), f"1 or {sidecar.channel_count} numbers")
    if sidecar.input_range[0] >= sidecar.input_range[1]:
        raise InputError("input_range", str(list(sidecar.input_range)), "black below white")
    if sidecar.scale == 0:
        raise InputError("scale", "0", "another number")
    if min(sidecar.std) <= 0:
        raise InputError("std", str(list(sidecar.std)), "numbers above 0")


def _one_of(*choices: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise InputError(name, repr(value), f"one of {', '.join(choices)}")
        return str(value)

    return check


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(name, repr(value), "a finite number")
    return float(value)


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= 3:
        raise InputError(name, repr(value), "one number, or one for each channel")
    return tuple(_number(name, one) for one in values)


def _pair(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(name, repr(value), "two numbers, for black and white")
    return _number(name, value[0]), _number(name, value[1])


def _whole(least: int, *, none: bool = False) -> Callable[[str, Any], int | None]:
    def check(name: str, value: Any) -> int | None:
        if none and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_PIXELS:
            raise InputError(name, repr(value), f"a whole number from {least} to {_MOST_PIXELS}")
        return value

    return check


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise InputError(name, repr(value), "a text of one line")
    return value


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "channels": _one_of(*_CHANNELS),
    "unit": _one_of("px", "relative"),
    "input_range": _pair,
    "mean": _numbers,
    "std": _numbers,
    "scale": _number,
    "offset": _number,
    "layout": _one_of("NCHW", "NHWC"),
    "output": lambda name, value: None if value is None else _text(name, value),
    "output_channel": _whole(0, none=True),
    "multiple_of": _whole(1),
    "halo": _whole(0, none=True),
    "text": _text,
    "citation": _text,
}
