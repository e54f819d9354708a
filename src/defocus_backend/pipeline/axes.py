"""Fusion of files with several axes: every focal stack of a file is fused, for all times and channels."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from defocus_backend.errors import InputError
from defocus_backend.io import Calibration, Channel, ImageND, create_nd, encode_image, is_nd, open_nd
from defocus_backend.io.formats import FORMATS, ND_FORMATS, WRITTEN_SUFFIXES, Format, FormatND, formats_of
from defocus_backend.io.writing_nd import format_like
from defocus_backend.pipeline.distance import KINDS, Distance
from defocus_backend.pipeline.options import AxesParams, FuseFiles
from defocus_backend.pipeline.relief import ReliefPlan, write_relief
from defocus_backend.pipeline.run import Listener, Made, Run, made_by, running
from defocus_backend.render import Scale, draw_map

if TYPE_CHECKING:
    from defocus_backend.fusion import Fusion
    from defocus_backend.stacks import StackPlan


def has_axes(files: Sequence[Path], settings: FuseFiles) -> bool:
    """Whether the files are read by their axes; raise `InputError` if an option requires it and it is impossible."""
    said = next((name for name, value in settings.axis.flat().items() if value), None)
    said = said or ("format" if settings.format.startswith("ome") else None)
    if said is not None and len(files) > 1:
        raise InputError(said, f"{len(files)} files", "this option only with one file that contains a whole stack")
    return said is not None or (len(files) == 1 and is_nd(files[0]))


def fuse_axes(path: Path, settings: FuseFiles, relief: ReliefPlan, listener: Listener | None) -> Made:
    """Fuse all focal stacks in one file; all results are written together at the end.

    Parameters
    ----------
    path : Path
        The file or folder.
    settings : FuseFiles
    relief : Relief
        Output options of the height, for a file with a single stack.
    listener : Listener or None
    """
    folder = path.absolute().parent if settings.out is None else settings.out
    chosen = settings.axis
    folders = [folder, *relief.folders]
    with running("fuse", [path], folders, settings.flat(), device=settings.fusion.device, listener=listener) as run:
        run.name_precision(settings.fusion.map_settings)
        facts: list[dict[str, Any]] = []
        for image, part, alone in _images(path, chosen):
            if not alone and not is_stack(image):
                run.tell(f"{path.name} {image.scene}: left out, because {_shape(image)} is not a focal stack")
                continue
            plan = _plan(image, chosen)
            said = describe_plan(image, plan)
            run.tell(f"{path.name}{part.replace('_', ' ')}: {said}")
            facts.append({"image": part.lstrip("_"), "axes": image.axes, "shape": list(image.shape), "decided": said})
            asked = relief.within(image.calibration)
            if relief.asked.cull or (relief.asked.any and not (alone and len(plan) == 1)):
                relief.refuse(f"with {path.name}: {said}")
            _fuse_one_image(run, image, plan, folder / ((settings.name or image.name) + part), asked, settings)
        if not facts:
            raise InputError(str(path), "no image with an axis Z", "at least one focal stack")
        run.facts["images"] = facts
    return made_by(run)


def is_stack(image: ImageND) -> bool:
    """Whether an image has two or more slices."""
    return image.sizes.get("Z", 1) > 1


def _images(path: Path, chosen: AxesParams) -> Iterator[tuple[ImageND, str, bool]]:
    """Each chosen image of a file, without positions, with the suffix of its name and whether it is the only one."""
    first = open_nd(path, scene=chosen.scene or 0, axes=chosen.axes)
    scenes = [first.scene] if chosen.scene is not None or len(first.scenes) == 1 else list(first.scenes)
    used: set[str] = set()
    for number, scene in enumerate(scenes):
        image = first if len(scenes) == 1 else open_nd(path, scene=number, axes=chosen.axes)
        part = "" if len(first.scenes) == 1 else "_" + (re.sub(r"[^\w.-]+", "-", scene).strip("-") or str(number))
        if part in used:
            part = f"{part}_{number}"
        used.add(part)
        if chosen.times is not None:
            image = image.take("T", _numbers("times", chosen.times, image, "T"))
        if "P" not in image.axes:
            if chosen.positions is not None:
                raise InputError("positions", chosen.positions, f"an axis P; {path.name} has {image.axes}")
            yield image, part, len(scenes) == 1
            continue
        listed = chosen.positions if chosen.positions is not None else f"0-{image.sizes['P'] - 1}"
        for position in _numbers("positions", listed, image, "P"):
            yield image.pick("P", position), f"{part}_p{position}", len(scenes) == 1


def _numbers(name: str, text: str, image: ImageND, axis: str) -> list[int]:
    """Numbers of a list such as ``0,2-5``, sorted and without repeats."""
    if axis not in image.axes:
        raise InputError(name, text, f"an axis {axis}; {image.path.name} has {image.axes}")
    size = image.sizes[axis]
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last >= size:
            raise InputError(name, text, f"numbers from 0 to {size - 1}, such as 0-{size - 1}")
        found.update(range(first, last + 1))
    return sorted(found)


def _plan(image: ImageND, chosen: AxesParams) -> StackPlan:
    from defocus_backend.stacks import StackPlan

    if not is_stack(image):
        raise InputError(
            image.path.name,
            _shape(image),
            "two or more slices along an axis Z; if the file names the axis differently, state the order with axes",
        )
    return StackPlan(image, focus_channels=_focus(chosen.focus_channels))


def _focus(texts: tuple[str, ...]) -> dict[int | str, float] | None:
    """Channels with weights from ``NAME`` or ``NAME:WEIGHT``."""
    found: dict[int | str, float] = {}
    for text in texts:
        name, colon, weight = text.rpartition(":")
        with contextlib.suppress(ValueError):
            found[name if colon else text] = float(weight) if colon else 1.0
            continue
        found[text] = 1.0
    return found or None


def _form(image: ImageND, suffix: str, plan: StackPlan) -> Format | FormatND:
    """The format of the results."""
    if suffix == "same":
        written = ND_FORMATS.get(image.format)
        return written if written is not None and written.create is not None else ND_FORMATS["OME-TIFF"]
    if suffix == "tif":
        return ND_FORMATS["OME-TIFF"]
    if f".{suffix}" not in WRITTEN_SUFFIXES:
        return format_like(f".{suffix}", image)
    if plan.result_axes not in ("YX", "YXS"):
        raise InputError("format", suffix, f"ome.tif or ome.zarr for a result of the axes {plan.result_axes}")
    return formats_of(f".{suffix}", FORMATS, "encode")[0]


def _shape(image: ImageND) -> str:
    return ", ".join(f"{n} {axis}" for axis, n in image.sizes.items())


def describe_plan(image: ImageND, plan: StackPlan) -> str:
    """Describe in one line the number of stacks, the channel that is compared and the axes of the result."""
    stacks = "one focal stack" if len(plan) == 1 else f"{len(plan)} focal stacks"
    said = f"{_shape(image)}, {image.dtype}: {stacks} of {plan.sizes['Z']} slices"
    if plan.channels > 1:
        names = [c.name for c in image.calibration.channels] or [None] * plan.channels
        judged = " + ".join(
            f"{number}{f' ({names[number]})' if names[number] else ''}{f' x {w:.2g}' if len(plan.focus) > 1 else ''}"
            for number, w in plan.focus.items()
        )
        said += f", focus estimated in channel {judged}"
        said += ", which has the most detail above its noise" if plan.chosen else ""
    return f"{said}, result {plan.result_axes}"


def _fuse_one_image(
    run: Run, image: ImageND, plan: StackPlan, stem: Path, relief: ReliefPlan, settings: FuseFiles
) -> None:
    from defocus_backend.fusion import MAP_TYPES, fuse_each
    from defocus_backend.fusion.brightness import describe_gains
    from defocus_backend.fusion.coverage import remarks

    form = _form(image, settings.format, plan)
    distance = Distance.of(settings.distance, settings.fusion.map_settings, _judged(image, plan))
    names = [name for name in MAP_TYPES if settings.confidence or name != "confidence"]
    names += [] if distance is None else KINDS
    written = form if isinstance(form, FormatND) else ND_FORMATS["OME-TIFF"]
    sizes = {**plan.sizes, "C": len(names)}
    # Brightness in a file with axes may be a measurement, so it is matched only on request.
    fusion = replace(settings.fusion, device=run.device, match_exposure=settings.fusion.match_exposure is True)
    with contextlib.ExitStack() as stack:

        def created(part: str, axes: str, shape: tuple[int, ...], dtype: Any, known: Calibration) -> Any:
            name = f"{stem.name}_{part}"
            target = run.stage(part, stem.with_name(name + written.suffixes[0]))
            return stack.enter_context(
                create_nd(target, written, axes=axes, shape=shape, dtype=dtype, calibration=known, name=name)
            )

        fused = None
        if written is form:
            shape = plan.result_shape(plan.result_axes)
            fused = created("fused", plan.result_axes, shape, image.dtype, image.calibration)
        axes, known = plan.map_axes.replace("YX", "CYX"), _map_calibration(image, names, relief, distance)
        maps = created("maps", axes, tuple(sizes[a] for a in axes), np.dtype(np.float32), known)
        with run.progress(f"{stem.name}, {len(plan)} x {plan.sizes['Z']} slices") as progress:
            for index, one in fuse_each(plan, progress=progress, **fusion.arguments()):
                at = dict(zip(plan.loop, index, strict=True))
                values = one.arrays()
                if distance is not None:
                    away = distance.from_focus(run, one)
                    values |= dict(zip(KINDS, (away.distance, away.error), strict=True))
                maps.put(np.stack([np.asarray(values[n], np.float32) for n in names]), **at)
                if fused is not None:
                    fused.put(one.image, **at)
                else:
                    ending = form.suffixes[0]
                    run.add("fused", stem.with_name(f"{stem.name}_fused{ending}"), encode_image(one.image, ending))
                for line in remarks(one):
                    where = ", ".join(f"{axis} {n}" for axis, n in at.items())
                    run.tell(f"{where}: {line}" if where else line)
                run.facts.setdefault("noise_only", []).append(list(one.noise_only))
                run.facts.setdefault("optical_sections", []).append(one.sections)
                if one.gains is not None:
                    run.tell(describe_gains(one.gains))
                    run.facts.setdefault("gains", []).append([round(float(gain), 4) for gain in one.gains])
                if not any(index):
                    _draw(run, stem, one, plan.sizes["Z"] - 1, settings)
                    if plan.channels > 1:  # the mesh has the colours of the channel in which focus is estimated
                        one = replace(one, image=one.image[max(plan.focus, key=plan.focus.__getitem__)])
                    write_relief(run, stem, one, plan.sizes["Z"], relief, like=None)


def _judged(image: ImageND, plan: StackPlan) -> str | int:
    """Name or number of the channel with the largest weight in the estimate of focus."""
    number = max(plan.focus, key=plan.focus.__getitem__, default=0)
    channels = image.calibration.channels
    return (channels[number].name if number < len(channels) else None) or number


def _map_calibration(
    image: ImageND, names: Sequence[str], relief: ReliefPlan, distance: Distance | None
) -> Calibration:
    """The calibration of the image, with the maps as its channels."""
    units = {"sigma": "px", "height": relief.unit, "height_error": relief.unit}
    units |= {} if distance is None else dict.fromkeys(KINDS, distance.unit)
    labels = tuple(Channel(name=f"{n} / {units[n]}" if n in units else n) for n in names)
    # Maps belong to the whole stack, so properties that differ between its channels do not apply to them.
    return replace(image.calibration, channels=labels, acquisition=image.calibration.acquisition.over("C"))


def _draw(run: Run, stem: Path, first: Fusion, last: int, settings: FuseFiles) -> None:
    """Add pictures of the decision and of the smallest sigma of the first stack."""
    low, high = settings.colours
    scale = Scale(low=low, high=high)
    decisions = Scale(low=0, high=last, label="sharpest slice", colormap="plasma")
    run.add("index picture", stem.with_name(f"{stem.name}_index.png"), draw_map(first.index, decisions))
    run.add("sigma picture", stem.with_name(f"{stem.name}_sigma.png"), draw_map(first.sigma, scale))
