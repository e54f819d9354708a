"""Alignment of the slices of one run: decide whether it is needed, apply it, and write its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import InputError
from defocus_backend.io.formats import JPEG_SUFFIXES, TIFF_SUFFIXES
from defocus_backend.params import ALIGN_MODELS, AlignParams
from defocus_backend.pipeline.options import AlignFiles
from defocus_backend.pipeline.run import Run, refuse_changed

if TYPE_CHECKING:
    from defocus_backend.align import AlignedStack, AlignmentNeed, OddFrame
    from defocus_backend.fusion.brightness import MatchExposure
    from defocus_backend.io.picture import Picture
    from defocus_backend.stacks import FileStack, SliceSource

_MOST_FAILED = 0.1
"""If a larger share of the frames has no reliable link, auto does not align the stack."""
_MOST_CUT = 0.05
"""Share of the picture that can be cropped without a warning."""


def _of_microscope(picture: Picture) -> bool:
    """Whether a picture looks like a slice of a microscope's z-stack: gray, and without a camera's EXIF."""
    gray = picture.channel_axis is None and picture.metadata.exif is None
    return gray and (picture.path.suffix.lower() in TIFF_SUFFIXES or picture.array.dtype.itemsize > 1)


class Aligner:
    """Aligns the slices of one run according to its options, and adds the files of the alignment.

    Parameters
    ----------
    settings : AlignFiles
    match_exposure : {"auto", True, False}
        See `defocus_backend.fuse`.

    Raises
    ------
    InputError
        If both known transforms and options of the estimation were given.
    """

    def __init__(self, settings: AlignFiles, match_exposure: MatchExposure) -> None:
        self.settings, self._exposure = settings, match_exposure
        align = settings.align
        self.params = AlignParams(
            model=align if align in ALIGN_MODELS else AlignParams.model,
            match_exposure=match_exposure is not False,
            lock=settings.lock,
            border=settings.border,
            interpolation=settings.interpolation,
        )
        if settings.apply_transforms is not None:
            given = {n: getattr(settings, n) for n in ("align", "interpolation", "lock")}
            changed = [name for name, value in given.items() if value != getattr(AlignFiles, name)]
            changed += ["match_exposure"] if match_exposure is False else []
            if changed:
                raise InputError(
                    changed[0], "this option with apply_transforms", "only the file, which contains these settings"
                )

    @property
    def asked_for(self) -> bool:
        """Whether an alignment was requested explicitly and must not be skipped."""
        one = self.settings
        files = (one.transforms, one.apply_transforms, one.export_aligned)
        return one.align in ALIGN_MODELS or any(path is not None for path in files)

    def refuse(self, reason: str) -> None:
        """Raise `InputError` if an alignment was requested, or its settings were changed, where none is possible."""
        if self.asked_for:
            raise InputError("align", f"an alignment {reason}", "separate pictures as slices, or no alignment")
        refuse_changed(self.settings, reason, "this option only where frames are aligned", but=("align", "keep_all"))

    @property
    def folders(self) -> list[Path]:
        """Folders that results are written to."""
        one = self.settings
        found = (one.export_aligned, one.transforms.parent if one.transforms else None)
        return [path for path in found if path is not None]

    def apply(self, run: Run, stack: FileStack, slices: SliceSource) -> SliceSource:
        """Align the slices if requested or needed, otherwise match their brightness; report it and add the files.

        `slices` are those of the stack, repaired or not. Frames that do not fit the stack are left out of the result.
        """
        verdict = self._look(stack, slices)
        if verdict is not None and verdict.odd and not self.settings.keep_all:
            slices = self._leave_out(run, slices, verdict.odd)
            verdict = self._look(stack, slices)
        needed, reason = self._decide(stack, verdict)
        if not needed:
            run.tell(f"not aligned: {reason}")
            run.facts["alignment"] = {"aligned": False, "reason": reason}
            if verdict is not None and verdict.bumped and not self.settings.keep_all:
                slices = self._leave_out(run, slices, verdict.bumped)
            return self._matched(run, stack, slices)
        run.tell(f"aligning: {reason}")
        aligned = self._align(run, slices)
        found = aligned.alignment
        for warning in found.warnings:
            run.tell(f"warning: {warning}")
        if not self.asked_for and len(found.failed) > _MOST_FAILED * len(slices):
            reason = f"{len(found.failed)} of {len(slices)} frames have no reliable link"
            run.tell(f"not aligned: {reason}; use align {self.params.model} to align them anyway")
            run.facts["alignment"] = {"aligned": False, "reason": reason}
            return self._matched(run, stack, slices)
        rows, columns = aligned.window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        high, wide = found.shape
        cut = 1 - height * width / (high * wide)
        if cut > _MOST_CUT:
            run.tell(
                f"warning: {cut:.0%} of the picture is cropped; {width} x {height} of {wide} x {high} px are in every "
                "frame. Use border mark to keep the size, or align off for no alignment"
            )
        run.facts["alignment"] = {
            "aligned": True,
            "reason": reason,
            "model": found.model,
            "failed": list(found.failed),
            "warnings": list(found.warnings),
            "rows": [rows.start, rows.stop],
            "columns": [columns.start, columns.stop],
        }
        if self.settings.transforms is not None:
            run.add("transforms", self.settings.transforms, found.to_json().encode())
        if self.settings.export_aligned is not None:
            for number, frame in enumerate(aligned):
                own, place = len(stack.paths) > 1, aligned.order[number]
                name = stack.paths[place].stem if own else f"{stack.name}_{place:04d}"
                mark = self.params.border == "mark"
                pixels = _with_coverage(frame) if mark else np.asarray(frame)
                # JPEG has no alpha channel, which marks where a frame has no pixels.
                suffix = "png" if mark and stack.first.path.suffix.lower() in JPEG_SUFFIXES else "same"
                run.add_picture("aligned", self.settings.export_aligned / name, pixels, suffix, like=stack.first)
        if self.settings.apply_transforms is not None or self.params.match_exposure:
            run.facts["gains"] = [round(float(np.mean(gains)), 4) for gains in found.gains]
        if found.failed and not self.settings.keep_all:
            from defocus_backend.align import OddFrame

            failed = tuple(OddFrame(n, "cannot be aligned") for n in found.failed)
            return self._leave_out(run, aligned, failed)
        return aligned

    @staticmethod
    def _leave_out(run: Run, slices: SliceSource, odd: tuple[OddFrame, ...]) -> SliceSource:
        """The slices without these frames; the frames are reported by their numbers in the whole stack."""
        out = {frame.number for frame in odd}
        rest = [n for n in range(len(slices)) if n not in out]
        if len(rest) < 2:
            return slices
        named = [replace(frame, number=slices.order[frame.number]) for frame in odd]
        run.tell(f"left out: {', '.join(map(str, named))}; keep_all keeps all frames")
        before = run.facts.setdefault("left_out", [])
        before.extend({"frame": frame.number, "reason": frame.reason} for frame in named)
        return slices.select(rest)

    def _look(self, stack: FileStack, slices: SliceSource) -> AlignmentNeed | None:
        """Displaced frames and frames that do not fit the stack, measured at a small size; None if not needed."""
        auto = self.settings.align == "auto" and not self.asked_for and len(stack.paths) > 1
        if self.settings.apply_transforms is not None or (self.settings.keep_all and not auto):
            return None
        try:
            import cv2  # noqa: F401
        except ImportError:
            return None
        from defocus_backend.align.needed import alignment_needed, frames_that_do_not_belong

        calibrated = _of_microscope(stack.first) or len(stack.paths) == 1
        return (alignment_needed if auto else frames_that_do_not_belong)(slices, calibrated=calibrated)

    def _matched(self, run: Run, stack: FileStack, slices: SliceSource) -> SliceSource:
        """The slices without alignment; their brightness is matched for photographs or on request."""
        from defocus_backend.fusion.brightness import describe_gains, match_brightness

        chosen = False if self._exposure == "auto" and _of_microscope(stack.first) else self._exposure
        slices, gains = match_brightness(slices, chosen)
        if gains is not None:
            run.tell(describe_gains(gains))
        run.facts["gains"] = None if gains is None else [round(float(gain), 4) for gain in gains]
        return slices

    def _decide(self, stack: FileStack, verdict: AlignmentNeed | None) -> tuple[bool, str]:
        if self.settings.apply_transforms is not None:
            return True, f"by {self.settings.apply_transforms}"
        if self.settings.align == "off":
            self.refuse("with align off")
            return False, "align off"
        if self.settings.align in ALIGN_MODELS:
            return True, f"align {self.settings.align}"
        if self.asked_for:
            return True, "its files were requested"
        if len(stack.paths) == 1:
            return False, "the slices are pages of one file"
        if verdict is None:
            return False, "OpenCV is not installed (pip install opencv-python-headless)"
        return verdict.needed, verdict.reason

    def _align(self, run: Run, slices: SliceSource) -> AlignedStack:
        from defocus_backend.align import Alignment, align_stack, apply_alignment

        if self.settings.apply_transforms is not None:
            return apply_alignment(slices, Alignment.load(self.settings.apply_transforms), border=self.params.border)
        with run.progress(f"aligning {len(slices)} frames") as progress:
            return align_stack(
                slices,
                model=self.params.model,
                lock=self.params.lock,
                match_exposure=self.params.match_exposure,
                border=self.params.border,
                interpolation=self.params.interpolation,
                progress=progress,
            )


def _with_coverage(frame: Any) -> NDArray[Any]:
    """A frame with an alpha channel that is 0 where the frame has no pixels, as in other programs."""
    mask = np.ma.getmaskarray(frame)
    hidden = mask if mask.ndim == 2 else mask.any(axis=-1)
    pixels = np.ma.filled(frame, 0)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else pixels.dtype.type(1)
    alpha = pixels[..., -1] if pixels.shape[-1] in (2, 4) else np.full(hidden.shape, full, pixels.dtype)
    colours = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
    return np.concatenate([colours, np.where(hidden, 0, alpha).astype(pixels.dtype)[..., None]], axis=-1)
