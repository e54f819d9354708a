"""Choice of the channels of an image in which focus is estimated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend.errors import InputError

ChannelChoice = int | str | Sequence[int | str] | Mapping[int | str, float] | Mapping[int, float] | Mapping[str, float]
"""A channel by number or name, several of equal weight, or several with their weights."""

_FINE, _COARSE = 1.0, 4.0
# Share of white noise that passes the difference of the two Gaussians: the integral of its kernel squared.
_NOISE_PASSED = (1 / _FINE**2 + 1 / _COARSE**2 - 4 / (_FINE**2 + _COARSE**2)) / (4 * math.pi)
_SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def focus_weights(choice: ChannelChoice, count: int, names: Sequence[str | None] = ()) -> dict[int, float]:
    """Weights of the channels in which focus is estimated, by channel number; the weights add up to 1.

    Parameters
    ----------
    choice : int, str, sequence or mapping
        See `ChannelChoice`.
    count : int
        Number of channels.
    names : sequence of str or None
        Names of the channels, where known. If there is no exact match, case is ignored.

    Raises
    ------
    InputError
        If a channel is unknown or given twice, or a weight is not above 0.
    """
    given: Iterable[tuple[Any, float]]
    if isinstance(choice, Mapping):
        given = [(key, weight) for key, weight in choice.items()]
    else:
        several = list(choice) if isinstance(choice, Iterable) and not isinstance(choice, str) else [choice]
        given = [(key, 1.0) for key in several]
    weights: dict[int, float] = {}
    for key, weight in given:
        number = _number(key, count, names)
        if number in weights:
            raise InputError("focus_channels", f"channel {number} twice", "each channel once")
        if not (isinstance(weight, int | float) and math.isfinite(weight) and weight > 0):
            raise InputError("focus_channels", f"weight {weight!r} of channel {key!r}", "a number above 0")
        weights[number] = float(weight)
    if not weights:
        raise InputError("focus_channels", "none", "at least one channel")
    total = sum(weights.values())
    return {number: weight / total for number, weight in weights.items()}


def _number(key: int | str, count: int, names: Sequence[str | None]) -> int:
    known = list(names)
    if isinstance(key, str):
        if key in known:
            return known.index(key)
        alike = [n for n, name in enumerate(known) if name is not None and name.casefold() == key.casefold()]
        if len(alike) == 1:
            return alike[0]
        if key.isdigit():
            key = int(key)
    if isinstance(key, int | np.integer) and not isinstance(key, bool) and 0 <= key < count:
        return int(key)
    named = ", ".join(str(name) for name in known if name)
    wanted = f"a number from 0 to {count - 1}" + (f" or one of {named}" if named else "; the channels have no names")
    raise InputError("focus_channels", repr(key), wanted)


def sharpest_channel(read: Callable[[int, int], NDArray[Any]], channels: int, slices: int) -> int:
    """The channel with the most fine detail above its noise, measured on three slices per channel.

    Parameters
    ----------
    read : callable
        Returns the plane (H, W) or (H, W, S) of a channel and a slice.
    channels, slices : int
        Number of channels and of slices.

    Returns
    -------
    int
        Number of the channel; the first one if several are equal.
    """
    numbers = sorted({(slices - 1) // 4, (slices - 1) // 2, 3 * (slices - 1) // 4})
    scores = [max(detail_above_noise(read(c, z)) for z in numbers) for c in range(channels)]
    return int(np.argmax(scores))


def detail_above_noise(plane: NDArray[Any]) -> float:
    """Variance of a plane between the scales of 1 and 4 px, relative to the variance expected from its noise alone.

    The noise is estimated as in J. Immerkær, "Fast noise variance estimation", CVIU 64(2), 1996, but with a median
    instead of the mean, to reduce the influence of edges. The result is about 1 for pure noise, and 0 for a constant
    plane.
    """
    gray = np.asarray(plane, np.float32)
    gray = np.nan_to_num(gray.mean(-1) if gray.ndim == 3 else gray)
    detail = ndimage.gaussian_filter(gray, _FINE) - ndimage.gaussian_filter(gray, _COARSE)
    variance = float(detail.var())
    differences = np.abs(ndimage.convolve(gray, _SECOND_DIFFERENCES))
    noise = float(np.median(differences)) / 0.6745 / 6
    # Rounding to whole numbers adds a variance of 1/12.
    least = 1 / 12 if np.issubdtype(np.asarray(plane).dtype, np.integer) else 1e-12 + variance * 1e-6
    return variance / (_NOISE_PASSED * max(noise**2, least))
