"""Form of a surface, which is removed before its texture is measured."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.errors import InputError

Form = Literal["none", "mean", "plane", "quadric"]

FORMS: tuple[Form, ...] = ("none", "mean", "plane", "quadric")
"""Forms that can be removed: nothing, the mean, the tilt, or the tilt and a constant curvature."""

_DEGREES = {"mean": 0, "plane": 1, "quadric": 2}


def level_height(height: ArrayLike, form: Form = "plane") -> NDArray[np.float64]:
    """Remove the form of a height map (F-operation of ISO 25178).

    Parameters
    ----------
    height : (H, W) array_like
        Height map in any unit; NaN is ignored and stays NaN.
    form : {"none", "mean", "plane", "quadric"}
        Form to remove: the least-squares surface of this kind through all known pixels. For the tilt of a slide with an
        object on it use `plane_tilt`, which fits the plane of most pixels.

    Returns
    -------
    (H, W) float64 array

    Raises
    ------
    InputError
        If too few pixels are known for the parameters of the form.
    """
    values = check_height(height)
    if form not in FORMS:
        raise InputError("form", repr(form), ", ".join(FORMS))
    if form == "none":
        return values
    y, x = np.nonzero(np.isfinite(values))
    rows, columns = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in values.shape)
    powers = [(i, j) for i in range(3) for j in range(3) if i + j <= _DEGREES[form]]
    terms = np.stack([rows[y] ** i * columns[x] ** j for i, j in powers], axis=1)
    if np.linalg.matrix_rank(terms[:: max(1, len(y) // 100_000)]) < len(powers):
        raise InputError("height", f"{len(y)} known pixels", f"enough of them for a {form}, not all on one line")
    found, *_ = np.linalg.lstsq(terms, values[y, x], rcond=None)
    surface = sum(
        (c * rows[:, None] ** i * columns[None, :] ** j for c, (i, j) in zip(found, powers, strict=True)),
        start=np.zeros_like(values),
    )
    return np.asarray(values - surface)


def check_height(height: ArrayLike, argument: str = "height") -> NDArray[np.float64]:
    """A height map (H, W) as float64, infinite values as NaN; raise `InputError` if no pixel is known."""
    try:
        values = np.array(height, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(argument, type(height).__name__, "a map (H, W) of numbers") from error
    if values.ndim != 2 or not values.size:
        raise InputError(argument, f"shape {values.shape}", "a map (H, W)")
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).all():
        raise InputError(argument, "no known pixel", "at least one")
    return values
