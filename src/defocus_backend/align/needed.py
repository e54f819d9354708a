"""Whether a stack needs aligning at all, measured on a few pairs of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from defocus_backend.align.frames import small_frame
from defocus_backend.align.motion import Motion, decompose, half_side
from defocus_backend.align.register import register
from defocus_backend.align.stack import require_opencv
from defocus_backend.progress import CancelCallback, Reporter
from defocus_backend.stacks import StackLike, as_source

_SIDE = 512
_PAIRS = 8
_SHIFT = 0.5
_SCALE = 0.001
_SIGMAS = 3


@dataclass(frozen=True)
class AlignmentNeed:
    """Verdict of `alignment_needed`.

    Attributes
    ----------
    needed : bool
    reason : str
        In words, with the figure that decided.
    """

    needed: bool
    reason: str


def alignment_needed(
    stack: StackLike, *, channel_axis: int | None = None, cancel: CancelCallback | None = None
) -> AlignmentNeed:
    """Look whether frames are shifted against each other by more than half a pixel, or scaled by over 0.1 %.

    Up to eight pairs of frames, neighbours and pairs a quarter of the stack apart (a slow drift is too small to
    see between neighbours), are registered at a size of at most 512 px; the first that moves decides.

    Parameters
    ----------
    stack, channel_axis
        As for `align_stack`.
    cancel : callable or None
        Asked before every pair.

    Returns
    -------
    AlignmentNeed

    Raises
    ------
    InputError, Cancelled
    """
    require_opencv()
    frames = as_source(stack, channel_axis=channel_axis)
    motion = Motion.of("similarity", ())
    pairs = list(_pairs(len(frames)))
    reporter = Reporter(len(pairs), "pairs", cancel=cancel)
    most_shift = most_scale = 0.0
    lost = 0
    for first, second in pairs:
        reporter.advance(0)
        a, b = small_frame(frames, first, _SIDE), small_frame(frames, second, _SIDE)
        link = register(a.pyramid, b.pyramid, motion, [])
        reporter.done += 1
        if not link.good:
            lost += 1
            continue
        parts = decompose(link.matrix)
        shift = float(np.hypot(*parts.shift)) * half_side(a.shape) * a.factor
        scale = abs(parts.scale - 1)
        # What cannot be told from no motion counts as none; in a small picture nor can a thousandth.
        unsure_by = _SIGMAS * link.error * a.factor
        at_border = scale * half_side(a.shape) * a.factor
        if shift > _SHIFT + unsure_by or (scale > _SCALE and at_border > _SHIFT + unsure_by):
            moved = f"frame {second} is shifted by {shift:.1f} px and scaled by {parts.scale - 1:+.2%}"
            return AlignmentNeed(True, f"{moved} against frame {first}")
        most_shift, most_scale = max(most_shift, shift), max(most_scale, scale)
    if lost == len(pairs):
        return AlignmentNeed(False, "no two frames are alike enough to compare")
    most = f"frames are shifted by at most {most_shift:.2f} px and scaled by {most_scale:.2%}"
    small = most_shift <= _SHIFT and most_scale <= _SCALE
    return AlignmentNeed(False, most if small else f"{most}, no more than the registration may err")


def _pairs(length: int) -> Iterator[tuple[int, int]]:
    """Neighbours and distant pairs in turns, spread over the stack, each once."""
    count = _PAIRS // 2
    starts = np.unique(np.linspace(0, max(0, length - 2), min(count, max(1, length - 1))).round().astype(int))
    apart = max(1, length // 4)
    seen = set()
    for start in starts.tolist():
        for pair in ((start, start + 1), (min(start, length - 1 - apart), min(start, length - 1 - apart) + apart)):
            if pair[1] < length and pair not in seen and pair[0] != pair[1]:
                seen.add(pair)
                yield pair
