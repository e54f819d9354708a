"""Fuse a focal stack in files into one picture in a file, with its maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.io import Metadata, encode_image, encode_map
from defocus_backend.io.folders import frames
from defocus_backend.methods import OWN_METHODS
from defocus_backend.pipeline.aligning import Aligner
from defocus_backend.pipeline.axes import fuse_axes, has_axes
from defocus_backend.pipeline.distance import Distance
from defocus_backend.pipeline.options import FuseFiles
from defocus_backend.pipeline.relief import ReliefPlan, without_idle_slices, write_relief
from defocus_backend.pipeline.repairing import repaired
from defocus_backend.pipeline.run import Listener, Made, Run, made_by, refuse_changed, running
from defocus_backend.render import Scale, draw_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from defocus_backend.fusion import Fusion
    from defocus_backend.io.picture import Picture
    from defocus_backend.stacks import FileStack, SliceSource

_OWN = OWN_METHODS["fuse"].name


@names_bad_arguments
def fuse_files(
    files: Sequence[str | Path],
    settings: FuseFiles | None = None,
    *,
    ordered: bool = False,
    listener: Listener | None = None,
) -> Made:
    """Fuse a focal stack in files into one picture, and write it with its maps.

    Parameters
    ----------
    files : sequence of path
        Two or more pictures of the same size, one per slice, in the order given. Alphabetical lists, as from a shell
        pattern, are sorted by the numbers in the names. Or a folder of such pictures, a multi-page TIFF, or a file with
        times, positions and channels, of which every stack is fused.
    settings : FuseFiles or None
        Options of the fusion, of the results and of their folder.
    ordered : bool
        The files are the slices in order, and none of them is an earlier result.
    listener : Listener or None
        Receives messages about decisions, and shows progress.

    Returns
    -------
    Made
        The written files. They all appear together at the end.

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError, Cancelled

    Examples
    --------
    >>> import defocus_backend as db
    >>> options = db.FuseFiles.of({"height": True, "mesh": "cells.ply"})
    >>> db.fuse_files(["cells.ome.tif"], options).paths  # doctest: +SKIP
    """
    settings = settings or FuseFiles()
    paths = tuple(map(Path, files)) if ordered else frames([Path(file) for file in files])
    if settings.method != _OWN:
        changed = "with the method " + settings.method
        for one in (settings.fusion.map_settings, settings.fusion.decision_settings, settings.fusion.blend_settings):
            refuse_changed(one, changed, f"this option only with the method {_OWN}", but=("never_above",))
        own = ("z", "z_step", "value_range", "match_exposure", "keep_slices", "device")
        refuse_changed(settings.fusion, changed, f"this option only with the method {_OWN}", but=(*own, "never_above"))
    relief = ReliefPlan.of(settings.relief, settings.fusion.z_step)
    if has_axes(paths, settings):
        return _fuse_one_file(paths[0], settings, relief, listener)
    from defocus_backend.stacks import open_stack

    stack = open_stack(paths)
    if len(stack) < 2:
        raise InputError("FILES", "one picture", "two or more pictures, or one multi-page TIFF")
    return _fuse_pictures(stack, paths, settings, relief, listener)


def _fuse_one_file(path: Path, settings: FuseFiles, relief: ReliefPlan, listener: Listener | None) -> Made:
    """Refuse options that do not apply to a file with axes, and fuse all its stacks."""
    where = "with a file of several axes"
    Aligner(settings.alignment, settings.fusion.match_exposure).refuse(where)
    refuse_changed(settings.sensor, where, "this option only with separate pictures as slices")
    refused = {"keep_slices": settings.fusion.keep_slices, "method": settings.method != _OWN, "audit": settings.audit}
    for name, given in refused.items():
        if given:
            raise InputError(name, f"this option {where}", "this option only with separate pictures as slices")
    return fuse_axes(path, settings, relief, listener)


def _fuse_pictures(
    stack: FileStack, paths: Sequence[Path], settings: FuseFiles, relief: ReliefPlan, listener: Listener | None
) -> Made:
    """Fuse one stack whose slices are pictures or pages."""
    published = settings.method != _OWN
    if published:
        _refuse_maps(settings, relief)
    distance = Distance.of(settings.distance, settings.fusion.map_settings)
    folder = paths[0].parent if settings.out is None else settings.out
    stem = folder / (settings.name or stack.name)
    aligner = Aligner(settings.alignment, settings.fusion.match_exposure)
    if published and aligner.params.border == "mark":
        raise InputError("border", f"mark with the method {settings.method}", "crop, or the method defocus")
    folders = [folder, *aligner.folders, *relief.folders]
    with running("fuse", paths, folders, settings.flat(), device=settings.fusion.device, listener=listener) as run:
        if not published:
            run.name_precision(settings.fusion.map_settings)
        slices = aligner.apply(run, stack, repaired(run, stack, settings.sensor))
        run.facts["slices"] = len(stack)
        if published:
            fused = _fuse_published(run, stem, stack, slices, settings)
        else:
            fused = _fuse_by_defocus(run, stem, stack, slices, settings, relief, distance)
        if settings.audit:
            write_audit(run, stem, fused, slices, like=stack.first)
    return made_by(run)


def _refuse_maps(settings: FuseFiles, relief: ReliefPlan) -> None:
    """Refuse options that published methods do not have."""
    where = f"with the method {settings.method}"
    relief.refuse(where)
    own = settings.fusion
    changed = {
        "z_step": own.z_step is not None,
        "never_above": own.decision_settings.never_above != type(own.decision_settings).never_above,
        "keep_slices": own.keep_slices,
        "confidence": settings.confidence,
        "calibration": settings.distance.calibration is not None,
    }
    for name, given in changed.items():
        if given:
            raise InputError(name, f"this option {where}", "the method defocus, which has maps")
    refuse_changed(settings.relief, where, "this option only with the method defocus and the slices of one stack")


def _fuse_by_defocus(
    run: Run,
    stem: Path,
    stack: FileStack,
    slices: SliceSource,
    settings: FuseFiles,
    relief: ReliefPlan,
    distance: Distance | None,
) -> NDArray[Any]:
    """Fuse by the method defocus; add the picture and its maps, and return the picture."""
    from defocus_backend.fusion import fuse
    from defocus_backend.fusion.coverage import remarks

    # The aligner matches the exposure, whether it aligns the slices or not.
    common = replace(settings.fusion, match_exposure=False, device=run.device).arguments()
    count = len(stack)
    with run.progress(f"{count} slices") as progress:
        result = fuse(slices, **{**common, **relief.positions(slices, count)}, progress=progress)
    run.facts |= {"noise_only": list(result.noise_only), "optical_sections": result.sections}
    if result.reversal is not None:
        run.facts["contrast_reverses_at"] = round(result.reversal, 2)
    if not settings.relief.coverage:  # the coverage report contains it too
        for line in remarks(result):
            run.tell(line)
    numbers = np.asarray(slices.order, dtype=np.int32)  # numbers of the slices that are left in the stack
    write_relief(run, stem, replace(result, index=numbers[result.index]), count, relief, like=stack.first)
    if settings.relief.cull:
        with run.progress("without idle slices") as progress:
            again = partial(fuse, **common, progress=progress)
            result = without_idle_slices(run, slices, count, result, relief, again)
    result = replace(result, index=numbers[result.index])
    write_fusion(run, stem, stack, result, settings)
    if distance is not None:
        distance.add(run, stem, result, like=stack.first)
    if settings.confidence:
        unit = Scale(low=0, high=1, label="confidence (0 to 1)")
        run.add_map("confidence", stem, result.confidence, unit, like=stack.first)
    return result.image


def _fuse_published(run: Run, stem: Path, stack: FileStack, source: SliceSource, settings: FuseFiles) -> NDArray[Any]:
    """Fuse by a method of `compare`, which needs all slices at once; add the picture and return it."""
    from defocus_backend.compare.fusers import fuse_with

    slices = [np.asarray(one) for one in source]
    fused = fuse_with(settings.method, slices, channel_axis=stack.channel_axis, value_range=settings.fusion.value_range)
    run.add_picture("fused", stem, fused, settings.format, like=stack.first)
    return fused


def write_audit(run: Run, stem: Path, fused: NDArray[Any], slices: SliceSource, *, like: Picture) -> None:
    """Compare the detail of a fused picture with its slices, report lost and invented detail, and add the map."""
    from defocus_backend.fusion.audit import audit

    found = audit(fused, slices)
    run.tell(found.report())
    run.facts["audit"] = found.to_dict()
    height, width = slices.plane_shape
    ratio = found.ratio.repeat(found.block, 0).repeat(found.block, 1)[:height, :width]
    run.add_map("audit", stem, ratio, Scale(low=0, high=2, label="detail relative to the sharpest slice"), like=like)


def write_fusion(run: Run, stem: Path, stack: FileStack, result: Fusion, settings: FuseFiles) -> None:
    """Add all results of a fusion to the files of a run."""
    low, high = settings.colours
    run.add_picture("fused", stem, result.image, settings.format, like=stack.first)
    last = max(1, len(stack) - 1)
    index = result.index.astype(np.uint8 if last < 256 else np.uint16)
    place = Metadata(resolution=stack.first.metadata.resolution, unit=stack.first.metadata.unit)
    numbers = encode_image(index, ".tif", like=replace(stack.first, metadata=place))
    run.add("index", stem.with_name(f"{stem.name}_index.tif"), numbers)
    decisions = Scale(low=0, high=last, label="sharpest slice", colormap="plasma")
    run.add("index picture", stem.with_name(f"{stem.name}_index.png"), draw_map(result.index, decisions))
    run.add_map("sigma", stem, result.sigma, Scale(low=low, high=high), like=stack.first)
    for kind, slices in (("sigmas", result.sigmas), ("decisions", result.decisions), ("weights", result.weights)):
        if slices is not None:
            encoded = encode_map(slices, like=stack.first, description=f"{kind} of every slice")
            run.add(kind, stem.with_name(f"{stem.name}_{kind}.tif"), encoded)
