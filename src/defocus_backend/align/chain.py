"""Alignment of a whole stack: register every frame on the previous one and compose the transforms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defocus_backend.align.alignment import Alignment
from defocus_backend.align.exposure import exposure_gain
from defocus_backend.align.frames import SmallFrame, small_frame
from defocus_backend.align.motion import Matrix, Motion, from_pixels, locked_degrees, to_pixels
from defocus_backend.align.odd import DISPLACED, SIGMAS, OddFrame, bumped_frames, reference_frame
from defocus_backend.align.register import Link, register
from defocus_backend.align.stack import AlignedStack, require_opencv
from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.params import ALIGN_DEGREES, AlignParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter
from defocus_backend.stacks import StackLike, as_source

_A = AlignParams


@names_bad_arguments
def align_stack(
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    model: str = _A.model,
    lock: str | Iterable[str] = _A.lock,
    match_exposure: bool = _A.match_exposure,
    border: str = _A.border,
    interpolation: str = _A.interpolation,
    reference: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> AlignedStack:
    """Align the frames of a focal stack to one of them.

    Each frame is registered on the previous one: the search starts from the peak of the phase correlation and refines
    the motion over an image pyramid. The transforms are then composed. A frame without a reliable registration gets the
    transform of the previous frame and a warning; the next frame is registered on the last good one. Frames are read
    once here, and again on each access to the result, so memory does not grow with their number.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The frames in the order of their focus, of any dtype.
    channel_axis : int or None
        Channel axis of one frame; None for gray, or for a stack that already has one.
    model : {"similarity", "translation", "affine", "homography"}
        Model of the motion between frames. Focusing shifts, scales and rotates the picture, so "similarity" is enough
        for most stacks.
    lock : str or iterable of str
        Degrees of freedom to fix: "x", "y", "scale", "rotation", "shear" (with change of aspect),
        "perspective".
    match_exposure : bool
        Divide each channel of a frame by its brightness relative to the reference.
    border : {"crop", "mark"}
        Crop to the area that every frame covers, or keep the size of the reference and mark missing pixels (NaN in
        floats, masked arrays for other dtypes).
    interpolation : {"cubic", "lanczos"}
        Kernel for resampling the original pixels.
    reference : int or None
        Number of the frame that is not moved, from 0. Default: the middle frame, or the nearest frame to it that was
        not displaced by a bump.
    progress, cancel : callable or None
        Called once per frame, see `defocus_backend.progress`.

    Returns
    -------
    AlignedStack
        The aligned frames, which can be passed to `fuse`, with their `Alignment`.

    Raises
    ------
    InputError, Cancelled

    References
    ----------
    G. Evangelidis and E. Psarakis, "Parametric image alignment using enhanced correlation coefficient
    maximization" (2008); S. Baker and I. Matthews, "Lucas-Kanade 20 years on" (2004).
    """
    try:
        names = lock if isinstance(lock, str) else ",".join(lock)
    except TypeError as error:
        raise InputError("lock", type(lock).__name__, f"names from {', '.join(ALIGN_DEGREES)}") from error
    params = AlignParams(
        model=model, lock=names, match_exposure=match_exposure, border=border, interpolation=interpolation
    )
    motion = Motion.of(params.model, locked_degrees(params.lock))
    require_opencv()
    frames = as_source(stack, channel_axis=channel_axis)
    whole = isinstance(reference, int) and not isinstance(reference, bool)
    if reference is not None and not (whole and 0 <= reference < len(frames)):
        raise InputError("reference", repr(reference), f"None or a frame from 0 to {len(frames) - 1}")
    reporter = Reporter(len(frames), "frames", progress, cancel)
    reporter.check()
    chain = _Chain(motion, params.match_exposure)
    for number in range(len(frames)):
        chain.add(small_frame(frames, number))
        reporter.advance()
    middle = reference_frame(len(frames), chain.bumped()) if reference is None else reference
    alignment = Alignment(
        matrices=chain.matrices(middle, frames.plane_shape),
        gains=np.stack(chain.gains) / chain.gains[middle],
        correlation=np.array(chain.correlation),
        shape=frames.plane_shape,
        reference=middle,
        model=params.model,
        lock=locked_degrees(params.lock),
        failed=tuple(chain.failed),
        warnings=tuple(chain.warnings),
        interpolation=params.interpolation,
    )
    return AlignedStack(frames, alignment, params.border)


@dataclass(frozen=True)
class _Placed:
    """A registered frame: its number, its pyramid, and its transform from the first frame."""

    number: int
    frame: SmallFrame
    place: Matrix
    gain: NDArray[np.float64]


class _Chain:
    """Transforms of the frames added so far, from the centred coordinates of the first frame."""

    def __init__(self, motion: Motion, match_exposure: bool) -> None:
        self.places: list[Matrix] = []
        self.gains: list[NDArray[np.float64]] = []
        self.correlation: list[float] = []
        self.failed: list[int] = []
        self.warnings: list[str] = []
        self._motion, self._match = motion, match_exposure
        self._variances: dict[int, float] = {}
        self._good: _Placed | None = None
        self._lost: _Placed | None = None
        self._velocity: Matrix = np.eye(3)

    def add(self, frame: SmallFrame) -> None:
        """Register the next frame."""
        number = len(self.places)
        if self._good is None:
            self._keep(_Placed(0, frame, np.eye(3), np.ones(frame.colours.shape[-1])))
            return
        anchor = self._good
        link = self._link(anchor, frame, [self._velocity])
        if not link.good and self._lost is not None:
            # The last good frame may be the wrong one, or the scene may have changed, so continue from this frame.
            second = self._link(self._lost, frame, [])
            if second.good:
                anchor, link = self._lost, second
        self.correlation.append(link.correlation)
        if not link.good:
            self._fail(number, frame, anchor, link)
            return
        self._variances[number] = (link.error * frame.factor) ** 2
        step = link.matrix if anchor.number == number - 1 else np.eye(3)
        self._velocity = self._motion.constrain(step)
        place = self._motion.constrain(link.matrix @ anchor.place)
        gain = anchor.gain
        if self._match:
            brighter = exposure_gain(anchor.frame.colours, frame.colours, link.matrix)
            if brighter is None:
                self.warnings.append(f"frame {number}: exposure cannot be compared and is not changed")
            else:
                gain = gain * brighter
        self._keep(_Placed(number, frame, place, gain))

    def matrices(self, reference: int, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Transforms (N, 3, 3) from pixels of the reference to those of every frame."""
        found = []
        back = np.linalg.inv(self.places[reference])
        assert self._good is not None, "frames were added"
        small = self._good.frame
        # The centre of a block of `factor` pixels is half a block away from its first pixel.
        half = (small.factor - 1) / 2
        block = np.array([[small.factor, 0, half], [0, small.factor, half], [0, 0, 1]])
        for number, place in enumerate(self.places):
            if number == reference:
                found.append(np.eye(3))
                continue
            pixels = block @ to_pixels(place @ back, small.shape) @ np.linalg.inv(block)
            found.append(to_pixels(self._motion.constrain(from_pixels(pixels, shape)), shape))
        return np.stack(found)

    def bumped(self) -> tuple[OddFrame, ...]:
        """Frames that are displaced relative to both neighbours, while the neighbours agree."""
        assert self._good is not None, "frames were added"
        small = self._good.frame
        return bumped_frames(self.places, self._variances, small.shape, small.factor, DISPLACED, SIGMAS)

    def _link(self, anchor: _Placed, frame: SmallFrame, starts: list[Matrix]) -> Link:
        return register(anchor.frame.pyramid, frame.pyramid, self._motion, starts)

    def _keep(self, placed: _Placed) -> None:
        self._good = placed
        self._lost = None
        self.places.append(placed.place)
        self.gains.append(placed.gain)

    def _fail(self, number: int, frame: SmallFrame, anchor: _Placed, link: Link) -> None:
        before = self.places[-1]
        self.failed.append(number)
        self.warnings.append(
            f"frame {number}: no reliable link to frame {anchor.number} ({link.reason}); uses the transform of frame "
            f"{number - 1}"
        )
        self._lost = _Placed(number, frame, before, self.gains[-1])
        self.places.append(before)
        self.gains.append(self.gains[-1])
