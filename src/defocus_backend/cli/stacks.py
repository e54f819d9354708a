"""The command on focal stacks: fuse."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from defocus_backend.cli.aligning import AlignOptions, align_options
from defocus_backend.cli.nd import AxesOptions, axes_options, fuse_file, stack_format_option
from defocus_backend.cli.options import (
    MAP_SECTION,
    SectionCommand,
    method_option,
    option,
    output_options,
    params_options,
    refuse_settings,
    run_options,
    slice_map_options,
)
from defocus_backend.cli.relief import ReliefOptions, relief_options, without_idle_slices, write_relief
from defocus_backend.cli.repairing import RepairOptions, repair_options
from defocus_backend.cli.run import WITHIN, Run, as_parameters, running
from defocus_backend.errors import InputError
from defocus_backend.io import Metadata, encode_image, encode_map
from defocus_backend.io.folders import frames
from defocus_backend.methods import FUSION_METHODS, OWN_METHODS
from defocus_backend.params import BlendParams, DecisionParams, FusionParams
from defocus_backend.render import Scale, draw_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from defocus_backend.fusion import Fusion
    from defocus_backend.io.picture import Picture
    from defocus_backend.stacks import FileStack, SliceSource


_OFFERED_BELOW = ("z", "z_step", "value_range", "match_exposure", "keep_slices", "device", "never_above")


@click.command("fuse", cls=SectionCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@method_option("fuse", FUSION_METHODS)
@params_options(FusionParams, but=_OFFERED_BELOW)
@params_options(DecisionParams, but=_OFFERED_BELOW)
@params_options(BlendParams)
@slice_map_options
@axes_options
@align_options
@repair_options
@relief_options
@option(
    "--name",
    metavar="NAME",
    help="Start of the results' names; by default what the names of the files have in common.",
)
@output_options
@stack_format_option
@option("--confidence", is_flag=True, help="Also write the confidence of the least sigma, NAME_confidence.")
@option(
    "--audit",
    "audited",
    is_flag=True,
    help="Also say how much detail the picture lost and made up against the sharpest slice; writes NAME_audit.",
)
@option(
    "--keep-slices",
    is_flag=True,
    help="Also write sigma, decision and weight of every slice as multi-page TIFF; takes memory for all.",
)
@run_options
def fuse_command(
    files: tuple[Path, ...],
    method: str,
    name: str | None,
    out: Path | None,
    keep_slices: bool,
    confidence: bool,
    audited: bool,
    **options: Any,
) -> None:
    """Fuse a focal stack into one picture that is sharp wherever any slice is.

    FILES are two or more pictures of one size, one slice each, in the order given; in the order of their numbers if
    they come as a shell lists them. Or a folder with such pictures; or one multi-page TIFF; or one file with times,
    positions and channels (OME-TIFF, OME-Zarr, ImageJ's TIFF, microscopes' formats), of which every stack is fused:
    NAME_fused with all times and channels, NAME_maps with the maps as channels.

    Writes NAME_fused in the format and bit depth of the slices; NAME_index.tif (number of the sharpest slice,
    from 0) with the decision preview NAME_index.png; NAME_sigma (the least sigma, px, .tif and .png). The
    published methods give NAME_fused only and hold all slices in memory.
    """
    if method != OWN_METHODS["fuse"].name:
        refuse_settings(method, "fuse", sections=("Fusion", MAP_SECTION))
    if WITHIN.get() is None:  # a batch has chosen and sorted them
        files = frames(files)
    low, high = options.pop("colours")
    suffix, value_range = options.pop("suffix"), options["value_range"]
    scale = Scale(low=low, high=high)
    axes, aligning = AxesOptions.take(options), AlignOptions.take(options)
    repairing = RepairOptions.take(options)
    relief = ReliefOptions.take(options)
    where = {name: options.pop(name) for name in ("device", "quiet", "as_json")}
    exposure = aligning.exposure is True
    settings = FusionParams.of(
        {**options, **relief.fuse_options(), "keep_slices": keep_slices, "match_exposure": exposure}
    )
    if relief.cull and keep_slices:
        raise InputError("--keep-slices", "it with --cull", "one of them: culled slices have no maps")
    if axes.apply_to(files, suffix):
        aligning.refuse("with a file of several axes")
        repairing.refuse("with a file of several axes")
        given = {"--keep-slices": keep_slices, "--method": method != OWN_METHODS["fuse"].name, "--audit": audited}
        for flag, refused in given.items():
            if refused:
                raise InputError(flag, "it with a file of several axes", "it with single pictures as slices")
        fuse_file(
            files[0],
            axes,
            out=out,
            name=name,
            suffix=suffix,
            scale=scale,
            confidence=confidence,
            parameters={"method": method, **as_parameters(settings)},
            run_options=where,
            relief=relief,
            settings=settings,
        )
        return
    from defocus_backend.stacks import open_stack

    stack = open_stack(files)
    if len(stack) < 2:
        raise InputError("FILES", "one picture", "two or more pictures, or one multi-page TIFF")
    folder = files[0].parent if out is None else out
    if method != OWN_METHODS["fuse"].name:
        relief.refuse(f"with --method {method}", settings=True)
        for flag, refused in (("--keep-slices", keep_slices), ("--confidence", confidence)):
            if refused:
                raise InputError(flag, f"it with --method {method}", "our own method, which has maps")
        _fuse_published(
            stack,
            files,
            folder / (name or stack.name),
            method,
            suffix,
            value_range,
            aligning,
            repairing,
            audited,
            where,
        )
        return
    parameters = {"method": method, **as_parameters(settings)}
    with running("fuse", files, [folder, *aligning.folders, *relief.folders], parameters, **where) as run:
        from defocus_backend.fusion import fuse

        run.name_precision(settings.map_settings)
        slices = aligning.apply(run, stack, repairing.apply(run, stack))
        stem = folder / (name or stack.name)
        # Exposure is matched where slices are aligned or not.
        common = replace(settings, match_exposure=False, device=run.device).arguments()
        with run.progress(f"{len(stack)} slices") as progress:
            result = fuse(slices, **{**common, **relief.positions(slices, len(stack))}, progress=progress)
        numbers = np.asarray(slices.order, dtype=np.int32)  # of what is left of the stack
        write_relief(run, stem, replace(result, index=numbers[result.index]), len(stack), relief, like=stack.first)
        if relief.cull:
            with run.progress("without idle slices") as progress:
                again = partial(fuse, **common, progress=progress)
                result = without_idle_slices(run, slices, len(stack), result, relief, again)
        result = replace(result, index=numbers[result.index])
        run.facts["slices"] = len(stack)
        write_fusion(run, stem, stack, result, scale, suffix)
        if confidence:
            unit = Scale(low=0, high=1, label="confidence (0 to 1)")
            run.add_map("confidence", stem, result.confidence, unit, like=stack.first)
        if audited:
            write_audit(run, stem, result.image, slices, like=stack.first)


def _fuse_published(
    stack: FileStack,
    files: tuple[Path, ...],
    stem: Path,
    method: str,
    suffix: str,
    value_range: tuple[float, float] | None,
    aligning: AlignOptions,
    repairing: RepairOptions,
    audited: bool,
    options: dict[str, Any],
) -> None:
    """Fuse by a method of `compare`, which sees all slices at once."""
    if aligning.params.border == "mark":
        raise InputError("--border", f"mark with --method {method}", "crop, or our own method")
    parameters = {"method": method, "value_range": value_range}
    with running("fuse", files, [stem.parent, *aligning.folders], parameters, **options) as run:
        from defocus_backend.compare.fusers import fuse_with

        source = aligning.apply(run, stack, repairing.apply(run, stack))
        slices = [np.asarray(one) for one in source]
        fused = fuse_with(method, slices, channel_axis=stack.channel_axis, value_range=value_range)
        run.facts["slices"] = len(stack)
        run.add_picture("fused", stem, fused, suffix, like=stack.first)
        if audited:
            write_audit(run, stem, fused, source, like=stack.first)


def write_audit(run: Run, stem: Path, fused: NDArray[Any], slices: SliceSource, *, like: Picture) -> None:
    """Compare a fused picture with its slices: say what it lost and made up, and add the map."""
    from defocus_backend.fusion.audit import audit

    found = audit(fused, slices)
    run.tell(found.report())
    run.facts["audit"] = found.to_dict()
    height, width = slices.plane_shape
    ratio = found.ratio.repeat(found.block, 0).repeat(found.block, 1)[:height, :width]
    run.add_map("audit", stem, ratio, Scale(low=0, high=2, label="detail / that of the sharpest slice"), like=like)


def write_fusion(run: Run, stem: Path, stack: FileStack, result: Fusion, scale: Scale, suffix: str) -> None:
    """Add all that a fusion returned to the files of a run."""
    run.add_picture("fused", stem, result.image, suffix, like=stack.first)
    last = max(1, len(stack) - 1)
    index = result.index.astype(np.uint8 if last < 256 else np.uint16)
    place = Metadata(resolution=stack.first.metadata.resolution, unit=stack.first.metadata.unit)
    numbers = encode_image(index, ".tif", like=replace(stack.first, metadata=place))
    run.add("index", stem.with_name(f"{stem.name}_index.tif"), numbers)
    decisions = Scale(low=0, high=last, label="sharpest slice", colormap="plasma")
    run.add("index picture", stem.with_name(f"{stem.name}_index.png"), draw_map(result.index, decisions))
    run.add_map("sigma", stem, result.sigma, scale, like=stack.first)
    for kind, slices in (("sigmas", result.sigmas), ("decisions", result.decisions), ("weights", result.weights)):
        if slices is not None:
            encoded = encode_map(slices, like=stack.first, description=f"{kind} of every slice")
            run.add(kind, stem.with_name(f"{stem.name}_{kind}.tif"), encoded)
