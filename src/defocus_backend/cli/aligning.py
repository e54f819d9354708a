"""Alignment in the commands on focal stacks: its options, the decision whether it is needed, its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from defocus_backend.cli.options import option, refuse_given
from defocus_backend.errors import InputError
from defocus_backend.io.picture import JPEG_SUFFIXES, TIFF_SUFFIXES
from defocus_backend.params import ALIGN_MODELS, AlignParams

if TYPE_CHECKING:
    from defocus_backend.align import AlignedStack, AlignmentNeed, OddFrame
    from defocus_backend.cli.run import Run
    from defocus_backend.io.picture import Picture
    from defocus_backend.stacks import FileStack, SliceSource

F = TypeVar("F", bound=Callable[..., Any])

ALIGN_SECTION = "Alignment"
_SHOWN = AlignParams.describe()
_MOST_FAILED = 0.1
"""Share of frames without a reliable link above which auto leaves a stack as it is."""
_MOST_CUT = 0.05
"""Share of the picture that may be cut off without a warning."""


def align_options(function: F) -> F:
    """Options of the alignment, those of `AlignParams` among them."""
    path = click.Path(path_type=Path)
    for decorate in (
        option(
            "--keep-all",
            is_flag=True,
            section=ALIGN_SECTION,
            help="Also fuse frames that do not belong to the stack: of another scene, black, overexposed, bumped where "
            "frames are not aligned, or without a reliable link where they are. Else they are named and left out.",
        ),
        option(
            "--export-aligned",
            type=path,
            metavar="DIR",
            section=ALIGN_SECTION,
            help="Also write every aligned frame, NAME_aligned, into this folder.",
        ),
        option(
            "--apply-transforms",
            type=path,
            metavar="FILE",
            section=ALIGN_SECTION,
            help="Align by the transforms that --transforms wrote before, instead of finding them.",
        ),
        option(
            "--transforms",
            type=path,
            metavar="FILE",
            section=ALIGN_SECTION,
            help="Also write transforms, gains and quality of the alignment as JSON.",
        ),
        option(
            "--interpolation",
            type=click.Choice(_SHOWN["interpolation"]["choices"]),
            default=AlignParams.interpolation,
            show_default=True,
            section=ALIGN_SECTION,
            help=_SHOWN["interpolation"]["help"],
        ),
        option(
            "--border",
            type=click.Choice(_SHOWN["border"]["choices"]),
            default=AlignParams.border,
            show_default=True,
            section=ALIGN_SECTION,
            help=_SHOWN["border"]["help"],
        ),
        option(
            "--match-exposure/--no-match-exposure",
            "match_exposure",
            default=None,
            show_default="photographs",
            section=ALIGN_SECTION,
            help="Match the brightness of the slices. Aligned frames get a gain per channel, others a gain each; by "
            "default not a microscope's slices (gray TIFFs without a camera's EXIF, 16-bit gray, a file with axes).",
        ),
        option("--lock", default="", metavar="NAMES", section=ALIGN_SECTION, help=_SHOWN["lock"]["help"]),
        option(
            "--align",
            type=click.Choice(["auto", "off", *ALIGN_MODELS]),
            default="auto",
            show_default=True,
            section=ALIGN_SECTION,
            help="Whether frames are aligned, and by which motion. auto: slices in one file are not. Single pictures "
            "are all compared at a small size. If the corners of a frame are displaced by over 0.5 px, all are "
            f"aligned by a {AlignParams.model}. Gray TIFFs without a camera's EXIF count as a microscope's and need "
            "more evidence. The decision is printed.",
        ),
    ):
        function = decorate(function)
    return function


def _of_microscope(picture: Picture) -> bool:
    """Whether a picture looks like a slice exported from a microscope's z-stack: gray, and no camera wrote it."""
    gray = picture.channel_axis is None and picture.metadata.exif is None
    return gray and (picture.path.suffix.lower() in TIFF_SUFFIXES or picture.array.dtype.itemsize > 1)


@dataclass(frozen=True)
class AlignOptions:
    """What the options of `align_options` ask for."""

    align: str
    params: AlignParams
    exposure: bool | None
    transforms: Path | None
    known: Path | None
    export: Path | None
    keep_all: bool

    @classmethod
    def take(cls, options: dict[str, Any]) -> AlignOptions:
        """Take the options out of the parsed ones."""
        align = options.pop("align")
        exposure = options.pop("match_exposure")
        names = ("lock", "border", "interpolation")
        params = AlignParams(
            model=align if align in ALIGN_MODELS else AlignParams.model,
            match_exposure=exposure is not False,
            **{n: options.pop(n) for n in names},
        )
        found = cls(
            align=align,
            params=params,
            exposure=exposure,
            transforms=options.pop("transforms"),
            known=options.pop("apply_transforms"),
            export=options.pop("export_aligned"),
            keep_all=options.pop("keep_all"),
        )
        if found.known is not None:
            own = {"--interpolation": "interpolation", "--lock": "lock", "--no-match-exposure": "match_exposure"}
            given = [flag for flag, name in own.items() if getattr(params, name) != getattr(AlignParams, name)]
            if align != "auto":
                given.append(f"--align {align}")
            if given:
                raise InputError("--apply-transforms", f"it with {given[0]}", "it alone: its file says all of that")
        return found

    @property
    def asked_for(self) -> bool:
        """Whether an alignment was asked for by name, so that leaving it out would be wrong."""
        return self.align in ALIGN_MODELS or any(p is not None for p in (self.transforms, self.known, self.export))

    def refuse(self, reason: str) -> None:
        """Raise `InputError` if an alignment was asked for, or its settings were given, where there can be none."""
        if self.asked_for:
            raise InputError("--align", f"an alignment {reason}", "single pictures as slices, or no --align")
        refuse_given(
            reason,
            "it only where frames are aligned",
            sections=(ALIGN_SECTION,),
            but=("align", "match_exposure", "keep_all"),
        )

    @property
    def folders(self) -> list[Path]:
        """Folders that results go to."""
        return [p for p in (self.export, self.transforms.parent if self.transforms else None) if p is not None]

    def apply(self, run: Run, stack: FileStack, slices: SliceSource) -> SliceSource:
        """The slices, aligned where asked for or needed, else at equal brightness; says which and adds the files.

        `slices` are those of the stack, repaired or not. Frames that do not belong are left out of what is returned.
        """
        verdict = self._look(stack, slices)
        if verdict is not None and verdict.odd and not self.keep_all:
            slices = self._leave_out(run, slices, verdict.odd)
            verdict = self._look(stack, slices)
        needed, reason = self._decide(stack, verdict)
        if not needed:
            run.tell(f"not aligned: {reason}")
            run.facts["alignment"] = {"aligned": False, "reason": reason}
            if verdict is not None and verdict.bumped and not self.keep_all:
                slices = self._leave_out(run, slices, verdict.bumped)
            return self._matched(run, stack, slices)
        run.tell(f"aligning: {reason}")
        aligned = self._align(run, slices)
        found = aligned.alignment
        for warning in found.warnings:
            run.tell(f"warning: {warning}")
        if not self.asked_for and len(found.failed) > _MOST_FAILED * len(slices):
            reason = f"{len(found.failed)} of {len(slices)} frames have no reliable link"
            run.tell(f"not aligned after all: {reason}; --align {self.params.model} does it nevertheless")
            run.facts["alignment"] = {"aligned": False, "reason": reason}
            return self._matched(run, stack, slices)
        rows, columns = aligned.window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        high, wide = found.shape
        cut = 1 - height * width / (high * wide)
        if cut > _MOST_CUT:
            run.tell(
                f"warning: {cut:.0%} of the picture is cut off; {width} x {height} of {wide} x {high} px are in every "
                "frame. --border mark keeps the size, --align off leaves the frames as they are"
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
        if self.transforms is not None:
            run.add("transforms", self.transforms, found.to_json().encode())
        if self.export is not None:
            for number, frame in enumerate(aligned):
                own, place = len(stack.paths) > 1, aligned.order[number]
                name = stack.paths[place].stem if own else f"{stack.name}_{place:04d}"
                mark = self.params.border == "mark"
                pixels = _with_coverage(frame) if mark else np.asarray(frame)
                # JPEG has no alpha, which says where a frame has no pixels.
                suffix = "png" if mark and stack.first.path.suffix.lower() in JPEG_SUFFIXES else "same"
                run.add_picture("aligned", self.export / name, pixels, suffix, like=stack.first)
        if self.known is not None or self.params.match_exposure:
            run.facts["gains"] = [round(float(np.mean(gains)), 4) for gains in found.gains]
        if found.failed and not self.keep_all:
            from defocus_backend.align import OddFrame

            failed = tuple(OddFrame(n, "cannot be aligned") for n in found.failed)
            return self._leave_out(run, aligned, failed)
        return aligned

    @staticmethod
    def _leave_out(run: Run, slices: SliceSource, odd: tuple[OddFrame, ...]) -> SliceSource:
        """The slices without these frames, which are named by their numbers in the whole stack."""
        out = {frame.number for frame in odd}
        rest = [n for n in range(len(slices)) if n not in out]
        if len(rest) < 2:
            return slices
        named = [replace(frame, number=slices.order[frame.number]) for frame in odd]
        run.tell(f"left out: {', '.join(map(str, named))}; --keep-all keeps all frames")
        before = run.facts.setdefault("left_out", [])
        before.extend({"frame": frame.number, "reason": frame.reason} for frame in named)
        return slices.select(rest)

    def _look(self, stack: FileStack, slices: SliceSource) -> AlignmentNeed | None:
        """How the frames lie on each other and which do not belong, at a small size; None if nobody wants to know."""
        auto = self.align == "auto" and not self.asked_for and len(stack.paths) > 1
        if self.known is not None or (self.keep_all and not auto):
            return None
        try:
            import cv2  # noqa: F401
        except ImportError:
            return None
        from defocus_backend.align import alignment_needed

        calibrated = _of_microscope(stack.first) or len(stack.paths) == 1
        return alignment_needed(slices, calibrated=calibrated)

    def _matched(self, run: Run, stack: FileStack, slices: SliceSource) -> SliceSource:
        """The slices as they lie, at equal brightness where they count as photographs or that is asked for."""
        from defocus_backend.fusion.brightness import describe_gains, match_brightness

        chosen = False if self.exposure is None and _of_microscope(stack.first) else self.exposure
        slices, gains = match_brightness(slices, "auto" if chosen is None else chosen)
        if gains is not None:
            run.tell(describe_gains(gains))
        run.facts["gains"] = None if gains is None else [round(float(gain), 4) for gain in gains]
        return slices

    def _decide(self, stack: FileStack, verdict: AlignmentNeed | None) -> tuple[bool, str]:
        if self.known is not None:
            return True, f"by {self.known}"
        if self.align == "off":
            self.refuse("with --align off")
            return False, "--align off"
        if self.align in ALIGN_MODELS:
            return True, f"--align {self.align}"
        if self.asked_for:
            return True, "its files were asked for"
        if len(stack.paths) == 1:
            return False, "the slices are pages of one file"
        if verdict is None:
            return False, "OpenCV is not installed (pip install opencv-python-headless)"
        return verdict.needed, verdict.reason

    def _align(self, run: Run, slices: SliceSource) -> AlignedStack:
        from defocus_backend.align import Alignment, align_stack, apply_alignment

        if self.known is not None:
            return apply_alignment(slices, Alignment.load(self.known), border=self.params.border)
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
    """A frame with an alpha channel that is 0 where it has no pixels, as other programs write and read it."""
    mask = np.ma.getmaskarray(frame)
    hidden = mask if mask.ndim == 2 else mask.any(axis=-1)
    pixels = np.ma.filled(frame, 0)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else pixels.dtype.type(1)
    alpha = pixels[..., -1] if pixels.shape[-1] in (2, 4) else np.full(hidden.shape, full, pixels.dtype)
    colours = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
    return np.concatenate([colours, np.where(hidden, 0, alpha).astype(pixels.dtype)[..., None]], axis=-1)
