"""Score a fused picture in a file against the files from which it was made."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defocus_backend.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from defocus_backend.fusion.audit import Audit

METRICS = ("QG", "QP", "QY", "QCB", "QCB_unit", "QFMI", "QW", "MI", "QMI", "PSNR", "SSIM")
"""Names of the metrics in `defocus_backend.metrics`, which takes more than a second to import."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Result of `score_files`.

    Attributes
    ----------
    fused : Path
    sources : tuple of Path
    truth : Path or None
    scores : dict of str to float
        Scores by the name of the metric; larger is better. The PSNR of equal pictures is infinite.
    audit : Audit or None
        Lost and invented detail; None if only some metrics were requested, or if only one of the fused picture and the
        sources has colour.
    seconds : float
    """

    fused: Path
    sources: tuple[Path, ...]
    truth: Path | None
    scores: dict[str, float]
    audit: Audit | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """All attributes as plain values for JSON; infinite numbers become None."""
        return {
            "command": "score",
            "fused": str(self.fused),
            "sources": [str(path) for path in self.sources],
            "truth": None if self.truth is None else str(self.truth),
            "scores": {name: value if math.isfinite(value) else None for name, value in self.scores.items()},
            "audit": None if self.audit is None else self.audit.to_dict(),
            "seconds": round(self.seconds, 3),
        }


def score_files(
    fused: str | Path,
    sources: Sequence[str | Path],
    *,
    truth: str | Path | None = None,
    names: Sequence[str] | None = None,
) -> Scored:
    """Score a fused picture against the pictures from which it was made.

    Parameters
    ----------
    fused : str or Path
    sources : sequence of str or Path
        Two or more pictures, or one multi-page TIFF, of the size of `fused`.
    truth : str or Path or None
        The true all-in-focus picture, if known; adds PSNR and SSIM.
    names : sequence of str or None
        Names from `METRICS` to compute; by default all that can be computed, and the audit.

    Returns
    -------
    Scored

    Raises
    ------
    InputError, FileError
    """
    import numpy as np

    from defocus_backend import metrics
    from defocus_backend.fusion.audit import audit
    from defocus_backend.io import read_image
    from defocus_backend.stacks import open_stack

    started = time.perf_counter()
    picture = read_image(fused)
    if not sources:
        raise InputError("sources", "nothing", "two or more pictures, or one multi-page TIFF")
    stack = open_stack(sources)
    reference = None if truth is None else read_image(truth).array
    for argument, other in (("sources", stack.first.array), ("truth", reference)):
        if other is not None:
            _refuse_other_kind(argument, other, picture.array, Path(fused))
    channel_axis = picture.channel_axis
    scores = metrics.evaluate(
        picture.array,
        [np.asarray(one) for one in stack],
        reference=reference,
        names=names or None,
        channel_axis=channel_axis,
    )
    whole = not names and stack.colours == (1 if channel_axis is None else 3)
    return Scored(
        fused=Path(fused),
        sources=tuple(map(Path, sources)),
        truth=None if truth is None else Path(truth),
        scores=scores,
        audit=audit(picture.array, stack, channel_axis=channel_axis) if whole else None,
        seconds=time.perf_counter() - started,
    )


def _refuse_other_kind(argument: str, other: NDArray[Any], fused: NDArray[Any], path: Path) -> None:
    if (other.dtype.kind == "f") != (fused.dtype.kind == "f"):
        raise InputError(
            argument, f"{other.dtype} values", f"{fused.dtype} values as in {path.name}, so that white is the same"
        )
