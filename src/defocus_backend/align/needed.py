"""Decision whether a stack needs alignment, measured on all of its frames at a small size."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from defocus_backend.align.frames import SmallFrame, small_frame
from defocus_backend.align.motion import Matrix, Motion, decompose, displacement, half_side
from defocus_backend.align.odd import DISPLACED, SIGMAS, OddFrame, Watch, bumped_frames, reference_frame
from defocus_backend.align.register import Link, register
from defocus_backend.align.stack import require_opencv
from defocus_backend.arguments import names_bad_arguments
from defocus_backend.progress import CancelCallback, Reporter
from defocus_backend.stacks import SliceSource, StackLike, as_source

_SIDE = 256
_DRIFTS = 8
"""Number of frames that are also compared over a quarter of the stack, because a slow drift is too small between
neighbours."""
_BEYOND_DOUBT = 2.0
_BEYOND_DOUBT_SIGMAS = 5.0
_BEYOND_DOUBT_CORRELATION = 0.95
_LOST = 0.1
"""If a larger share of the frames cannot be registered, the stack is not aligned."""
_REVERSED = 0.2
"""Largest share of changes of scale in the opposite direction."""


@dataclass(frozen=True)
class AlignmentNeed:
    """Verdict of `alignment_needed`.

    Attributes
    ----------
    needed : bool
    reason : str
        Reason in words, with the decisive number.
    displaced : tuple of int
        Frames with corners displaced relative to the middle frame, or the nearest frame to it that was not bumped.
    displacement : float
        Largest displacement of a corner between two compared frames, in px.
    odd : tuple of OddFrame
        Frames that do not fit the stack: of another scene, black or overexposed.
    bumped : tuple of OddFrame
        Frames that are displaced relative to both neighbours, while the neighbours agree. Alignment corrects them.
    """

    needed: bool
    reason: str
    displaced: tuple[int, ...] = ()
    displacement: float = 0.0
    odd: tuple[OddFrame, ...] = ()
    bumped: tuple[OddFrame, ...] = ()


@names_bad_arguments
def alignment_needed(
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    calibrated: bool = False,
    cancel: CancelCallback | None = None,
) -> AlignmentNeed:
    """Decide whether any frame of a stack is displaced.

    Every frame is registered on the previous one, and a few frames on one a quarter of the stack earlier, at a size of
    at most 256 px. A frame counts as displaced if a corner moves by more than half a pixel beyond three standard
    errors, and if the registration in the opposite direction agrees. Changes of scale alone only count if they have the
    same direction throughout the stack, as with a lens. The stack does not need alignment if more than a tenth of the
    frames cannot be registered.

    Parameters
    ----------
    stack, channel_axis
        See `align_stack`.
    calibrated : bool
        Whether the frames are a microscope's z-stack. A stage does not scale or rotate the picture, but the visible
        structures change between sections. Then only shifts count, if they exceed two pixels beyond five standard
        errors and the frames have a correlation above 0.95.
    cancel : callable or None
        Called before every frame, see `defocus_backend.progress`.

    Returns
    -------
    AlignmentNeed

    Raises
    ------
    InputError, Cancelled
    """
    return _looked_at(as_source(stack, channel_axis=channel_axis), calibrated, cancel, judging=True)


def frames_that_do_not_belong(
    stack: SliceSource, *, calibrated: bool = False, cancel: CancelCallback | None = None
) -> AlignmentNeed:
    """Find frames that do not fit a stack; `alignment_needed` without the decision, in a third of its time."""
    return _looked_at(stack, calibrated, cancel, judging=False)


def _looked_at(frames: SliceSource, calibrated: bool, cancel: CancelCallback | None, *, judging: bool) -> AlignmentNeed:
    require_opencv()
    look = _Look(calibrated, judging)
    stride = max(2, len(frames) // _DRIFTS)
    reporter = Reporter(len(frames), "frames", cancel=cancel)
    for number in range(len(frames)):
        reporter.advance(0)
        look.add(small_frame(frames, number, _SIDE), judging and number % stride == 0)
        reporter.done += 1
    return look.verdict()


@dataclass(frozen=True)
class _Step:
    """A successful registration of two frames, with the values needed for the decision."""

    first: int
    second: int
    matrix: Matrix
    displacement: float
    error: float
    scale: float
    shows: bool
    shows_without_scale: bool


class _Look:
    """Evidence from the frames seen so far; unless `judging`, only for frames that do not fit the stack."""

    def __init__(self, calibrated: bool, judging: bool) -> None:
        self._judging = judging
        self._motion = Motion.of("translation" if calibrated else "similarity", ())
        self._least, self._sigmas = (_BEYOND_DOUBT, _BEYOND_DOUBT_SIGMAS) if calibrated else (DISPLACED, SIGMAS)
        self._alike = _BEYOND_DOUBT_CORRELATION if calibrated else 0.0
        self._steps: list[_Step] = []
        self._lost: list[int] = []
        self._variances: dict[int, float] = {}
        self._places: list[Matrix] = []
        self._watch = Watch(calibrated)
        self._good: tuple[int, SmallFrame] | None = None
        self._anchors: deque[tuple[int, SmallFrame]] = deque(maxlen=2)

    def add(self, frame: SmallFrame, distant: bool) -> None:
        """Compare the next frame with the previous one and, if `distant`, with the second-last distant frame."""
        self._watch.add(frame)
        number = len(self._places)
        place = self._places[-1] if self._places else np.eye(3)
        if self._good is not None:
            step = self._compare(self._good, (number, frame), [])
            if step is None:
                self._lost.append(number)
            else:
                place = step.matrix @ self._places[self._good[0]]
                self._steps.append(step)
                self._variances[number] = step.error**2
        self._places.append(place)
        if number not in self._lost:
            self._good = (number, frame)
        if distant and number not in self._lost:
            if self._anchors:
                anchor = self._anchors[0]
                start = place @ np.linalg.inv(self._places[anchor[0]])
                step = self._compare(anchor, (number, frame), [np.asarray(start)])
                if step is not None:
                    self._steps.append(step)
            self._anchors.append((number, frame))

    def _compare(
        self, first: tuple[int, SmallFrame], second: tuple[int, SmallFrame], starts: list[Matrix]
    ) -> _Step | None:
        """Registration of two frames; None if it fails."""
        (a, template), (b, frame) = first, second
        link = register(template.pyramid, frame.pyramid, self._motion, starts)
        if not link.found:
            return None
        moved = displacement(link.matrix, template.shape) * template.factor
        parts = decompose(link.matrix)
        shift = float(np.hypot(*parts.shift)) * half_side(template.shape) * template.factor
        turned = abs(parts.rotation) * float(np.hypot(*template.shape)) / 2 * template.factor
        least = self._least + self._sigmas * link.error * template.factor
        shows = self._judging and moved > least and link.correlation > self._alike
        shows = shows and self._agrees(link, first, second, moved)
        error = link.error * template.factor
        shifted = shift > self._least + self._sigmas * link.shift_error * template.factor
        return _Step(a, b, link.matrix, moved, error, parts.scale, shows, shows and (shifted or turned > least))

    def _agrees(self, link: Link, first: tuple[int, SmallFrame], second: tuple[int, SmallFrame], moved: float) -> bool:
        """Whether the registration in the opposite direction gives the inverse motion."""
        (_, template), (_, frame) = first, second
        back = register(frame.pyramid, template.pyramid, self._motion, [])
        if not back.found:
            return False
        factor = template.factor
        loop = displacement(back.matrix @ link.matrix, template.shape) * factor
        return loop < max(DISPLACED, moved / 4, 2 * (link.error + back.error) * factor)

    def verdict(self) -> AlignmentNeed:
        """Decision after all frames were added."""
        bumped: tuple[OddFrame, ...] = ()
        if self._good is not None:
            _, frame = self._good
            bumped = bumped_frames(self._places, self._variances, frame.shape, frame.factor, self._least, self._sigmas)
        decided = self._decide(bumped) if self._judging else AlignmentNeed(False, "not looked at")
        return replace(decided, odd=self._watch.odd(), bumped=bumped)

    def _decide(self, bumped: tuple[OddFrame, ...]) -> AlignmentNeed:
        """Decide whether the frames need alignment, with the reason."""
        count = len(self._places)
        if count > 1 and not self._steps:
            return AlignmentNeed(False, "no two frames are similar enough to compare")
        most = max((s.displacement for s in self._steps), default=0.0)
        shown = [s for s in self._steps if s.shows]
        seen = f"corners move by at most {most:.2f} px in {count} frames"
        if not shown:
            beyond = " beyond five standard errors and 2 px" if self._least > DISPLACED else ""
            small = most <= self._least
            return AlignmentNeed(
                False, seen if small else f"{seen}, which is within the error of the registration{beyond}"
            )
        if len(self._lost) > _LOST * count:
            lost = ", ".join(map(str, self._lost[:5])) + (", ..." if len(self._lost) > 5 else "")
            return AlignmentNeed(False, f"{len(self._lost)} of {count} frames cannot be compared ({lost})")
        if not any(s.shows_without_scale for s in shown):
            changes = [float(np.log(s.scale)) for s in shown]
            against = min(sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0))
            if against > _REVERSED * sum(map(abs, changes)):
                return AlignmentNeed(
                    False, f"{seen}, but the scale grows and shrinks, as it does for objects that go out of focus"
                )
        largest = max(shown, key=lambda s: s.displacement)
        displaced = self._displaced(shown, reference_frame(count, bumped))
        parts = decompose(largest.matrix)
        reason = (
            f"frame {largest.second} is displaced by up to {largest.displacement:.1f} px relative to frame "
            f"{largest.first} (scale {parts.scale - 1:+.2%}, rotation {np.rad2deg(parts.rotation):+.2f} degrees); "
            f"{len(displaced)} of {count} frames are displaced"
        )
        return AlignmentNeed(True, reason, displaced, largest.displacement)

    def _displaced(self, shown: list[_Step], middle: int) -> tuple[int, ...]:
        """Frames displaced relative to the middle frame by more than the error of the registrations between them."""
        assert self._good is not None, "frames were added"
        shape, factor = self._good[1].shape, self._good[1].factor
        back = np.linalg.inv(self._places[middle])
        variances = np.cumsum([self._variances.get(n, 0.0) for n in range(len(self._places))])
        found = []
        for number, place in enumerate(self._places):
            error = float(np.sqrt(abs(variances[number] - variances[middle])))
            moved = displacement(np.asarray(place @ back), shape) * factor
            if number not in self._lost and moved > self._least + self._sigmas * error:
                found.append(number)
        return tuple(found) or tuple(sorted({s.second for s in shown}))
