"""Models of motion between frames, and their free and fixed degrees of freedom.

Inside this package, a transform is a (3, 3) matrix on centred coordinates: x to the right and y down from the centre of
the frame, in units of half its longer side. All entries then have a similar magnitude.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from defocus_backend.errors import InputError
from defocus_backend.params import ALIGN_DEGREES, ALIGN_MODELS

Matrix = NDArray[np.float64]

_ENTRIES: dict[str, tuple[tuple[tuple[int, int, float], ...], ...]] = {
    "x": (((0, 2, 1.0),),),
    "y": (((1, 2, 1.0),),),
    "scale": (((0, 0, 1.0), (1, 1, 1.0)),),
    "rotation": (((0, 1, -1.0), (1, 0, 1.0)),),
    "shear": (((0, 0, 1.0), (1, 1, -1.0)), ((0, 1, 1.0), (1, 0, 1.0))),
    "perspective": (((2, 0, 1.0),), ((2, 1, 1.0),)),
}
"""Non-zero entries of the generators of every degree of freedom; "shear" includes the change of aspect."""

_MOST_SHIFT = 0.5
_MOST_SCALE = 0.15
_MOST_ROTATION = 0.15
_MOST_SHEAR = 0.05
_MOST_PERSPECTIVE = 0.05


@dataclass(frozen=True)
class Parts:
    """Parts of a transform, by degree of freedom.

    Attributes
    ----------
    shift : (float, float)
        Shift of the centre along x and y, in the unit of the coordinates.
    scale : float
    rotation : float
        Radians, from x towards y.
    shear : (2, 2) array
        Symmetric matrix with determinant 1; the identity if there is no shear.
    perspective : (float, float)
    """

    shift: tuple[float, float]
    scale: float
    rotation: float
    shear: Matrix
    perspective: tuple[float, float]

    @property
    def plausible(self) -> bool:
        """Whether this is a plausible motion between two neighbouring frames of a focal stack."""
        return bool(
            max(map(abs, self.shift)) <= _MOST_SHIFT
            and abs(np.log(self.scale)) <= _MOST_SCALE
            and abs(self.rotation) <= _MOST_ROTATION
            and np.abs(self.shear - np.eye(2)).max() <= _MOST_SHEAR
            and max(map(abs, self.perspective)) <= _MOST_PERSPECTIVE
        )


@dataclass(frozen=True)
class Motion:
    """A model without its locked degrees of freedom.

    Attributes
    ----------
    degrees : tuple of str
        Free degrees of freedom.
    generators : (K, 3, 3) array
        One generator per free parameter; a small motion is the identity plus their weighted sum.
    """

    degrees: tuple[str, ...]
    generators: NDArray[np.float64]

    @classmethod
    def of(cls, model: str, lock: Iterable[str]) -> Motion:
        """Motion of a model in `ALIGN_MODELS` without the degrees in `lock`; raise `InputError` if none is left."""
        locked = tuple(lock)
        degrees = tuple(d for d in ALIGN_MODELS[model] if d not in locked)
        if not degrees:
            raise InputError("lock", ", ".join(locked), f"at least one degree of freedom of {model} left free")
        matrices = []
        for degree in degrees:
            for entries in _ENTRIES[degree]:
                matrix = np.zeros((3, 3))
                for row, column, value in entries:
                    matrix[row, column] = value
                matrices.append(matrix)
        return cls(degrees, np.stack(matrices))

    def step(self, amounts: NDArray[np.float64]) -> Matrix:
        """Transform for finite amounts of the generators, by the matrix exponential."""
        return np.asarray(linalg.expm(np.tensordot(amounts, self.generators, 1)))

    def constrain(self, matrix: Matrix) -> Matrix:
        """Nearest transform in which every locked degree is the identity.

        A composition of allowed motions can leave the model (a shift along y and a rotation give a shift along x), so
        this is applied after every composition.
        """
        parts = decompose(matrix)
        free = set(self.degrees)
        scale = parts.scale if "scale" in free else 1.0
        angle = parts.rotation if "rotation" in free else 0.0
        shear = parts.shear if "shear" in free else np.eye(2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        affine = np.eye(3)
        affine[:2, :2] = scale * turn @ shear
        affine[:2, 2] = [s if d in free else 0.0 for s, d in zip(parts.shift, "xy", strict=True)]
        bend = np.eye(3)
        if "perspective" in free:
            bend[2, :2] = parts.perspective
        return affine @ bend


def locked_degrees(lock: str) -> tuple[str, ...]:
    """Names in `AlignParams.lock`, in the order of `ALIGN_DEGREES`."""
    names = lock.replace(",", " ").split()
    return tuple(d for d in ALIGN_DEGREES if d in names)


def decompose(matrix: Matrix) -> Parts:
    """Shift, scale, rotation, shear and perspective of a transform on centred coordinates.

    The transform is split into a pure perspective followed by an affine transform. The affine transform is split by
    polar decomposition, which gives the nearest rotation (Higham 1986).
    """
    m = matrix / matrix[2, 2]
    # m = [A t; 0 1] [I 0; v 1]: v is the last row, t is the last column, and A follows from the rest.
    affine = m[:2, :2] - np.outer(m[:2, 2], m[2, :2])
    turn, stretch = linalg.polar(affine)
    scale = float(np.sqrt(max(np.linalg.det(affine), 1e-12)))
    return Parts(
        shift=(float(m[0, 2]), float(m[1, 2])),
        scale=scale,
        rotation=float(np.arctan2(turn[1, 0], turn[0, 0])),
        shear=stretch / scale,
        perspective=(float(m[2, 0]), float(m[2, 1])),
    )


def half_side(shape: tuple[int, int]) -> float:
    """Unit of the centred coordinates, in pixels."""
    return max(shape) / 2


def to_pixels(matrix: Matrix, shape: tuple[int, int]) -> Matrix:
    """Convert a transform on centred coordinates to one on pixels (x, y) of a frame (H, W)."""
    frame = _frame(shape)
    result = frame @ matrix @ np.linalg.inv(frame)
    return np.asarray(result / result[2, 2])


def from_pixels(matrix: Matrix, shape: tuple[int, int]) -> Matrix:
    """Inverse of `to_pixels`."""
    frame = _frame(shape)
    result = np.linalg.inv(frame) @ matrix @ frame
    return np.asarray(result / result[2, 2])


def _frame(shape: tuple[int, int]) -> Matrix:
    unit = half_side(shape)
    return np.array([[unit, 0, (shape[1] - 1) / 2], [0, unit, (shape[0] - 1) / 2], [0, 0, 1]])


def displacement(matrix: Matrix, shape: tuple[int, int]) -> float:
    """Largest shift of a corner of the frame (H, W) by a transform on centred coordinates, in pixels."""
    unit = half_side(shape)
    x, y = shape[1] / 2 / unit, shape[0] / 2 / unit
    corners = np.array([[-x, x, x, -x], [-y, -y, y, y], [1, 1, 1, 1]])
    moved = matrix @ corners
    return float(np.abs(moved[:2] / moved[2] - corners[:2]).max() * unit)
