"""Result of an alignment: transforms, exposure gains, quality and common area; saved as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.align.area import Window, common_window, covered_lines, covered_mask
from defocus_backend.align.motion import Parts, decompose, from_pixels
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import write_whole

_FORMAT = "defocus alignment 1"
_SUPPORT = {"cubic": 2, "lanczos": 4}
"""Radius of each interpolation kernel in pixels."""
_STILL = 1e-6
"""A frame that moves by less than this, in pixels, is copied instead of resampled."""
_TURN, _EXPOSURE = 0.005, 0.005
"""Smallest rotation in degrees, and smallest relative difference of exposure, that are described."""


@dataclass(frozen=True)
class Alignment:
    """Position of every frame relative to the reference frame.

    Attributes
    ----------
    matrices : (N, 3, 3) float64 array
        Transforms from pixels (x, y, 1) of the reference to those of each frame. x points right, y points down, and
        whole numbers are pixel centres. The last entry is 1.
    gains : (N, C) float64 array
        Brightness of each frame relative to the reference, by channel without alpha. Frames are divided by it.
    correlation : (N - 1,) float64 array
        Correlation of every frame, except the first, with the earlier frame on which it was registered. It is computed
        on low-passed images at the working size; 0 if no transform was found.
    failed : tuple of int
        Frames without a reliable transform; they use the transform of the previous frame.
    warnings : tuple of str
        Descriptions of problems.
    shape : (int, int)
        Height and width of a frame.
    reference : int
        Number of the frame that is not moved.
    model : str
        Motion model, see `AlignParams`.
    lock : tuple of str
        Degrees of freedom that were fixed.
    interpolation : str
        Interpolation kernel, whose radius is left out of the common area.
    """

    matrices: NDArray[np.float64]
    gains: NDArray[np.float64]
    correlation: NDArray[np.float64]
    shape: tuple[int, int]
    reference: int
    model: str = "similarity"
    lock: tuple[str, ...] = ()
    failed: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    interpolation: str = "cubic"
    crop: Window | None = field(init=False)
    """Rows and columns of the largest axis-aligned rectangle that every frame covers; None if there is none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "crop", common_window(self._lines(), self.shape))

    def __len__(self) -> int:
        return len(self.matrices)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Mask (H, W), on the reference, of pixels that every frame covers."""
        return covered_mask(self._lines(), self.shape)

    def covered(self, number: int) -> NDArray[np.bool_]:
        """Mask (H, W), on the reference, of pixels for which one frame has all pixels that its resampling needs."""
        return covered_mask(self._frame_lines(number), self.shape)

    def is_still(self, number: int) -> bool:
        """Whether a frame needs no resampling."""
        return bool(np.abs(self.matrices[number] - np.eye(3)).max() * max(self.shape) < _STILL)

    def parts(self, number: int) -> Parts:
        """Shift of the centre (px), scale, rotation (radians), shear and perspective of one frame."""
        found = decompose(from_pixels(self.matrices[number], self.shape))
        unit = max(self.shape) / 2
        shift = (found.shift[0] * unit, found.shift[1] * unit)
        return Parts(shift, found.scale, found.rotation, found.shear, found.perspective)

    def describe(self) -> str:
        """Largest shift, scaling, rotation and difference of exposure of all frames, in one line.

        >>> import numpy as np
        >>> still = Alignment(np.stack([np.eye(3)] * 2), np.ones((2, 1)), np.ones(1), (40, 60), 0)
        >>> still.describe()
        'similarity: shifted by up to 0.0 px, scaled by up to +0.00%'
        """
        parts = [self.parts(number) for number in range(len(self))]
        shift = max(float(np.hypot(*part.shift)) for part in parts)
        scale = max((part.scale - 1 for part in parts), key=abs)
        turn = max((float(np.degrees(part.rotation)) for part in parts), key=abs)
        text = f"{self.model}: shifted by up to {shift:.1f} px, scaled by up to {scale:+.2%}"
        text += f", rotated by up to {turn:+.2f}°" if abs(turn) >= _TURN else ""
        differ = float(np.ptp(self.gains / self.gains.mean()))
        return text + (f"; exposure differs by {differ:.0%}" if differ > _EXPOSURE else "")

    def _frame_lines(self, number: int) -> NDArray[np.float64]:
        support = 0 if self.is_still(number) else _SUPPORT[self.interpolation]
        return covered_lines(self.matrices[number], self.shape, support)

    def _lines(self) -> NDArray[np.float64]:
        return np.concatenate([self._frame_lines(n) for n in range(len(self))])

    def to_json(self) -> str:
        """The alignment as JSON, one frame per line."""
        crop = None
        if self.crop is not None:
            (y, x) = self.crop
            crop = {"rows": [y.start, y.stop], "columns": [x.start, x.stop]}
        head = {
            "format": _FORMAT,
            "matrices": "from pixels (x, y, 1) of the reference to those of the frame",
            "model": self.model,
            "lock": list(self.lock),
            "interpolation": self.interpolation,
            "shape": list(self.shape),
            "reference": self.reference,
            "crop": crop,
            "warnings": list(self.warnings),
        }
        lines = []
        for number, (matrix, gain) in enumerate(zip(self.matrices, self.gains, strict=True)):
            entry: dict[str, Any] = {"matrix": matrix.tolist(), "gain": gain.tolist()}
            if number:
                entry["correlation"] = float(self.correlation[number - 1])
            if number in self.failed:
                entry["failed"] = True
            lines.append(json.dumps(entry))
        return json.dumps(head, indent=1)[:-2] + ',\n "frames": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Alignment:
        """Create an alignment from the text of `to_json`; raise `InputError` for any other text."""
        try:
            held = json.loads(text)
            if held["format"] != _FORMAT:
                raise ValueError(f"format {held['format']!r}")
            frames = held["frames"]
            matrices = np.array([f["matrix"] for f in frames], dtype=np.float64).reshape(len(frames), 3, 3)
            gains = np.array([f["gain"] for f in frames], dtype=np.float64).reshape(len(frames), -1)
            usable = np.isfinite(matrices).all() and np.isfinite(gains).all() and (gains > 0).all()
            if not frames or not usable or (np.abs(np.linalg.det(matrices)) < 1e-6).any():
                raise ValueError("transforms that cannot be used")
            height, width = map(int, held["shape"])
            return cls(
                matrices=matrices,
                gains=gains,
                correlation=np.array([f["correlation"] for f in frames[1:]], dtype=np.float64),
                shape=(height, width),
                reference=int(held["reference"]),
                model=str(held["model"]),
                lock=tuple(map(str, held["lock"])),
                failed=tuple(n for n, f in enumerate(frames) if f.get("failed")),
                warnings=tuple(map(str, held["warnings"])),
                interpolation={k: k for k in _SUPPORT}[held["interpolation"]],
            )
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            given = f"{type(error).__name__}: {error}"
            raise InputError("alignment", given, "transforms as written by `Alignment.save`") from error

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file, completely or not at all; raise `FileError` if this fails."""
        write_whole(Path(path), self.to_json().encode())

    @classmethod
    def load(cls, path: str | Path) -> Alignment:
        """Read a file of `save`; raise `FileError` if it is unreadable, `InputError` if its content is wrong."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"{path}: cannot be read ({error})") from error
        try:
            return cls.from_json(text)
        except InputError as error:
            raise InputError(str(path), error.given, error.wanted) from error
