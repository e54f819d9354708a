"""Detect frames that do not fit their stack: of another scene, black, overexposed, or bumped.

At a very small size, neighbouring frames of a focal stack look similar, whatever is in focus. A frame that is similar
to no other frame therefore does not fit. If most frames are dissimilar, no frame is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend.align.frames import SmallFrame
from defocus_backend.align.motion import Matrix, displacement

_SIDE = 64
"""Longest side of the compared small frames, px."""
_WIDE = 8.0
"""Sigma of the local mean that is subtracted, in pixels of the small frames: any two pictures can be similar at a
coarse scale."""
_SLACK = 3
"""Largest shift that is allowed, in pixels of the small frames."""
_NEIGHBOURS = 3
_ALIKE, _UNLIKE = 0.5, 0.4
"""Correlation above which two frames show the same scene, and below which they show different scenes."""
_MOST = 2 / 3
"""Smallest share of frames that must show the same scene."""
_CONTRAST = 0.15
"""Smallest contrast, relative to the other frames, of a frame that shows a scene; an empty slice at the end of a stack
has less."""
_WHITE, _WHITE_SHARE = 0.97, 0.4
"""Value that counts as clipped, and the excess share of clipped pixels in an overexposed frame."""
_BLACK, _LIT = 0.02, 0.1
"""Largest mean of a black frame, and smallest mean of the other frames, in the unit range."""
DISPLACED, SIGMAS = 0.5, 3.0
"""Displacement that is ignored, in px, and the number of standard errors beyond it."""
_MAJORITY = 5
"""Smallest number of frames for which a bumped middle frame is replaced as the reference."""
_TOGETHER = 0.25
"""Largest distance between the neighbours of a bumped frame, relative to its own displacement."""


@dataclass(frozen=True)
class OddFrame:
    """A frame that does not fit its stack.

    Attributes
    ----------
    number : int
    reason : str
        Reason in words.
    """

    number: int
    reason: str

    def __str__(self) -> str:
        return f"frame {self.number} ({self.reason})"


class Watch:
    """Very small versions of all frames, used to detect frames that do not fit the stack.

    Parameters
    ----------
    calibrated : bool
        Whether the frames are from a microscope; their outermost slices may be dark.
    """

    def __init__(self, calibrated: bool) -> None:
        self._calibrated = calibrated
        self._small: list[NDArray[np.float32]] = []
        self._means: list[float] = []
        self._white: list[float] = []

    def add(self, frame: SmallFrame) -> None:
        """Add the next frame."""
        import cv2

        level = max(n for n, one in enumerate(frame.pyramid.levels) if n == 0 or max(one.shape) >= _SIDE)
        gray = np.nan_to_num(frame.pyramid.levels[level].numpy())
        height, width = gray.shape
        scale = _SIDE / max(height, width)
        size = (max(2 * _SLACK + 2, round(width * scale)), max(2 * _SLACK + 2, round(height * scale)))
        small = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        self._small.append(small - ndimage.gaussian_filter(small, _WIDE))
        self._means.append(float(gray.mean()))
        self._white.append(float((gray >= _WHITE).mean()))

    def odd(self) -> tuple[OddFrame, ...]:
        """Frames that do not fit the stack by their content."""
        count = len(self._small)
        if count < _NEIGHBOURS:
            return ()
        found: dict[int, str] = {}
        lit = np.median(self._means)
        inner = range(1, count - 1) if self._calibrated else range(count)
        for number in inner:
            if self._means[number] < _BLACK and lit > _LIT:
                found[number] = "black"
        usual = float(np.median(self._white))
        for number, white in enumerate(self._white):
            if white > usual + _WHITE_SHARE:
                found[number] = f"overexposed: {white:.0%} is white"
        found |= dict.fromkeys(self._foreign([n for n in range(count) if n not in found]), "shows something else")
        return tuple(OddFrame(n, found[n]) for n in sorted(found)) if len(found) <= (1 - _MOST) * count else ()

    def _foreign(self, numbers: list[int]) -> list[int]:
        """Those of the given frames that show another scene."""
        near = {
            (a, b): _correlation(self._small[a], self._small[b])
            for place, a in enumerate(numbers)
            for b in numbers[place + 1 : place + 1 + _NEIGHBOURS]
        }
        scene = {n: n for n in numbers}
        for (a, b), alike in near.items():
            if alike >= _ALIKE and scene[a] != scene[b]:
                scene = {n: scene[a] if s == scene[b] else s for n, s in scene.items()}
        sizes = {s: list(scene.values()).count(s) for s in scene.values()}
        main = max(sizes, key=lambda s: sizes[s])
        if sizes[main] < max(2, _MOST * len(numbers)):
            return []
        members = {n for n in numbers if scene[n] == main}
        contrast = np.median([self._small[n].std() for n in members])
        return [
            n
            for n in numbers
            if n not in members
            and self._small[n].std() >= _CONTRAST * contrast
            and max((c for pair, c in near.items() if n in pair and members & {*pair}), default=1.0) < _UNLIKE
        ]


def bumped_frames(
    places: list[Matrix], variances: dict[int, float], shape: tuple[int, int], factor: int, least: float, sigmas: float
) -> tuple[OddFrame, ...]:
    """Frames that lie elsewhere than both neighbours, which lie together.

    Parameters
    ----------
    places : list of (3, 3) arrays
        Transform of every frame, from the centred coordinates of the first frame.
    variances : dict
        Variance of each registration in square pixels, by the number of its later frame.
    shape, factor
        Shape and reduction factor of the small frames, see `SmallFrame`.
    least, sigmas : float
        Displacement that is ignored, in px, and the number of standard errors beyond it.
    """
    found = []
    for number in range(1, len(places) - 1):
        before, after = (np.linalg.inv(places[n]) for n in (number - 1, number + 1))
        moved = [displacement(np.asarray(places[number] @ other), shape) * factor for other in (before, after)]
        apart = displacement(np.asarray(places[number + 1] @ before), shape) * factor
        error = np.sqrt(variances.get(number, 0.0) + variances.get(number + 1, 0.0))
        if min(moved) > least + sigmas * error and apart < _TOGETHER * min(moved):
            found.append(OddFrame(number, f"displaced by {min(moved):.1f} px relative to its neighbours"))
    return tuple(found)


def reference_frame(count: int, bumped: tuple[OddFrame, ...]) -> int:
    """Number of the middle frame, or of the nearest frame to it that was not bumped.

    With fewer than five frames, it is always the middle frame, because two agreeing neighbours are no majority.
    """
    out = {frame.number for frame in bumped} if count >= _MAJORITY else set()
    return min((n for n in range(count) if n not in out), key=lambda n: abs(n - count // 2), default=count // 2)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Largest correlation of the middle of one small picture with the other."""
    import cv2

    middle = b[_SLACK:-_SLACK, _SLACK:-_SLACK]
    if not (a.std() > 0 and middle.std() > 0):
        return 0.0
    return float(np.nan_to_num(cv2.matchTemplate(a, middle, cv2.TM_CCOEFF_NORMED)).max())
