"""Images of many dimensions on the command line: what `fuse` does with their axes, and `info`."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from defocus_backend.cli.options import SectionCommand, max_pixels_option, option
from defocus_backend.cli.relief import ReliefOptions, write_relief
from defocus_backend.cli.run import WITHIN, Run, running
from defocus_backend.errors import InputError
from defocus_backend.io import Calibration, Channel, ImageND, create_nd, encode_image, is_nd, open_nd
from defocus_backend.io.writing_nd import OME_TIFF, OME_ZARR, OME_ZARR_04
from defocus_backend.render import Scale, draw_map

if TYPE_CHECKING:
    from defocus_backend.fusion import Fusion
    from defocus_backend.params import FusionParams
    from defocus_backend.stacks import StackPlan

F = TypeVar("F", bound=Callable[..., Any])

_SECTION = "Axes of one file"
_FORMATS = ("same", "png", "jpg", "tif", "ome.tif", "ome.zarr")


@dataclass(frozen=True)
class AxesOptions:
    """What the command line says of a file's axes; empty where it says nothing."""

    axes: str | None
    focus_channels: tuple[str, ...]
    times: str | None
    positions: str | None
    scene: str | None

    @classmethod
    def take(cls, options: dict[str, Any]) -> AxesOptions:
        """Take them out of the parsed options."""
        return cls(**{name: options.pop(name) for name in cls.__dataclass_fields__})

    def apply_to(self, files: tuple[Path, ...], suffix: str) -> bool:
        """Whether the files are to be read by their axes; raise `InputError` if they must be and cannot."""
        flags = {"focus_channels": "--focus-channel"}
        said = next((flags.get(name, f"--{name}") for name, value in vars(self).items() if value), None)
        said = said or (f"--format {suffix}" if suffix.startswith("ome") else None)
        if said is not None and len(files) > 1:
            raise InputError(said, f"{len(files)} files", "it only with one file that holds a whole stack")
        return said is not None or (len(files) == 1 and is_nd(files[0]))


def axes_options(function: F) -> F:
    """Options for files with channels, times, positions and scenes."""
    for decorate in (
        option(
            "--scene",
            metavar="NAME|NUMBER",
            section=_SECTION,
            help="One of several images in the file; by default all, one result each.",
        ),
        option(
            "--positions",
            metavar="LIST",
            section=_SECTION,
            help="Positions to fuse, one result each, such as 0,2-5; by default all.",
        ),
        option("--times", metavar="LIST", section=_SECTION, help="Time points to fuse, such as 0,2-5; by default all."),
        option(
            "--focus-channel",
            "focus_channels",
            multiple=True,
            metavar="NAME|NUMBER[:WEIGHT]",
            section=_SECTION,
            help="Channel on which focus is judged, for all channels; can be repeated. By default the one with the "
            "most fine detail above its noise.",
        ),
        option(
            "--axes",
            metavar="LETTERS",
            section=_SECTION,
            help="What the file's axes are where it says nothing or something else: P (position), T, C, Z, Y, X, "
            "S (colour sample), such as TZCYX; `defocus info` shows what it says.",
        ),
    ):
        function = decorate(function)
    return function


def stack_format_option(function: F) -> F:
    """The format of fused pictures."""
    return option(
        "--format",
        "suffix",
        type=click.Choice(_FORMATS),
        default="same",
        show_default=True,
        help="Format of the fused picture; the same as that of the input keeps its bit depth. Files with axes "
        "become OME-TIFF or OME-Zarr.",
    )(function)


def fuse_file(
    path: Path,
    chosen: AxesOptions,
    *,
    out: Path | None,
    name: str | None,
    suffix: str,
    scale: Scale,
    confidence: bool,
    relief: ReliefOptions,
    settings: FusionParams,
    parameters: dict[str, Any],
    run_options: dict[str, Any],
) -> None:
    """Fuse all focal stacks in one file; all results appear together at the end.

    Parameters
    ----------
    path : Path
        The file or folder.
    chosen : AxesOptions
    out, name : Path, str or None
        Folder and first part of the results' names.
    suffix : str
        One of the formats.
    scale : Scale
        Of the picture of sigma.
    confidence : bool
        Also keep the confidence.
    relief : ReliefOptions
        What is written of the height, for a file with a single stack.
    settings : FusionParams
        The options of `fuse`.
    parameters : dict
        For the summary.
    run_options : dict
        Device and what to print.
    """
    folder = path.absolute().parent if out is None else out
    silent = run_options["quiet"] or run_options["as_json"]
    given = {k: v for k, v in vars(chosen).items() if v}
    with running("fuse", [path], [folder, *relief.folders], {**parameters, **given}, **run_options) as run:
        run.name_precision(settings.map_settings)
        facts: list[dict[str, Any]] = []
        for image, part, alone in _images(path, chosen):
            if not alone and not _is_stack(image):
                _say(silent, f"{path.name} {image.scene}: left out, {_shape(image)} hold no focal stack")
                continue
            plan = _plan(image, chosen)
            kind = _kind(image, suffix, plan)
            said = describe_plan(image, plan)
            _say(silent, f"{path.name}{part.replace('_', ' ')}: {said}")
            facts.append({"image": part.lstrip("_"), "axes": image.axes, "shape": list(image.shape), "decided": said})
            stem = folder / ((name or image.name) + part)
            asked = relief.within(image.calibration)
            if relief.cull or (asked.any and not (alone and len(plan) == 1)):
                relief.refuse(f"with {path.name}: {said}")
            found = replace(settings, device=run.device)
            _fuse_one_image(run, image, plan, stem, kind, scale, confidence, asked, found)
        if not facts:
            raise InputError(str(path), "no image with an axis Z", "at least one focal stack")
        run.facts["images"] = facts


def _say(silent: bool, line: str) -> None:
    if (within := WITHIN.get()) is not None:
        within.told.append(line)
    elif not silent:
        click.echo(line)


def _is_stack(image: ImageND) -> bool:
    return image.sizes.get("Z", 1) > 1


def _images(path: Path, chosen: AxesOptions) -> Iterator[tuple[ImageND, str, bool]]:
    """Every image of a file that was chosen, without positions; what to add to its name; whether it is the only one."""
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
            image = image.take("T", _numbers("--times", chosen.times, image, "T"))
        if "P" not in image.axes:
            if chosen.positions is not None:
                raise InputError("--positions", chosen.positions, f"an axis P; {path.name} has {image.axes}")
            yield image, part, len(scenes) == 1
            continue
        listed = chosen.positions if chosen.positions is not None else f"0-{image.sizes['P'] - 1}"
        for position in _numbers("--positions", listed, image, "P"):
            yield image.pick("P", position), f"{part}_p{position}", len(scenes) == 1


def _numbers(name: str, text: str, image: ImageND, axis: str) -> list[int]:
    """The numbers of a list such as ``0,2-5``, each once, in order."""
    if axis not in image.axes:
        raise InputError(name, text, f"an axis {axis}; {image.path.name} has {image.axes}")
    size = image.sizes[axis]
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last >= size:
            raise InputError(name, text, f"numbers from 0 to {size - 1}, such as 0,2-{max(2, size - 1)}")
        found.update(range(first, last + 1))
    return sorted(found)


def _plan(image: ImageND, chosen: AxesOptions) -> StackPlan:
    from defocus_backend.stacks import StackPlan

    if not _is_stack(image):
        raise InputError(
            image.path.name,
            _shape(image),
            "two or more slices along an axis Z; if another axis is that, name it with --axes",
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


def _kind(image: ImageND, suffix: str, plan: StackPlan) -> str:
    """The format of the results: an ending that `create_nd` knows, or that of a picture."""
    if suffix in ("png", "jpg"):
        if plan.result_axes not in ("YX", "YXS"):
            raise InputError("--format", suffix, f"ome.tif or ome.zarr for a result of the axes {plan.result_axes}")
        return f".{suffix}"
    if suffix == "ome.zarr" or (suffix == "same" and image.format.startswith("OME-Zarr")):
        return OME_ZARR_04 if image.format == "OME-Zarr 0.4" else OME_ZARR
    return OME_TIFF


def _shape(image: ImageND) -> str:
    return ", ".join(f"{n} {axis}" for axis, n in image.sizes.items())


def describe_plan(image: ImageND, plan: StackPlan) -> str:
    """In one line: how many stacks, what decides, what comes out."""
    stacks = "one focal stack" if len(plan) == 1 else f"{len(plan)} focal stacks"
    said = f"{_shape(image)}, {image.dtype}: {stacks} of {plan.sizes['Z']} slices"
    if plan.channels > 1:
        names = [c.name for c in image.calibration.channels] or [None] * plan.channels
        judged = " + ".join(
            f"{number}{f' ({names[number]})' if names[number] else ''}{f' x {w:.2g}' if len(plan.focus) > 1 else ''}"
            for number, w in plan.focus.items()
        )
        said += f", focus judged on channel {judged}"
        said += ", which has the most detail above its noise" if plan.chosen else ""
    return f"{said}, result {plan.result_axes}"


def _fuse_one_image(
    run: Run,
    image: ImageND,
    plan: StackPlan,
    stem: Path,
    kind: str,
    scale: Scale,
    confidence: bool,
    relief: ReliefOptions,
    settings: FusionParams,
) -> None:
    from defocus_backend.fusion import MAP_TYPES, fuse_each
    from defocus_backend.fusion.brightness import describe_gains

    names = [name for name in MAP_TYPES if confidence or name != "confidence"]
    flat = kind.removeprefix(".") in ("png", "jpg")
    map_kind = OME_TIFF if flat else kind
    ending = map_kind.split()[0]
    units = {"sigma": "px", "height": relief.unit, "height_error": relief.unit}
    labels = tuple(Channel(name=f"{n} / {units[n]}" if n in units else n) for n in names)
    map_axes = plan.map_axes.replace("YX", "CYX")
    sizes = {**plan.sizes, "C": len(names)}
    with contextlib.ExitStack() as stack:

        def created(part: str, axes: str, shape: tuple[int, ...], dtype: Any, known: Calibration) -> Any:
            path = stem.with_name(f"{stem.name}_{part}{ending}")
            target = run.stage(part, path)
            name = f"{stem.name}_{part}"
            return stack.enter_context(
                create_nd(target, map_kind, axes=axes, shape=shape, dtype=dtype, calibration=known, name=name)
            )

        fused = None
        if not flat:
            shape = plan.result_shape(plan.result_axes)
            fused = created("fused", plan.result_axes, shape, image.dtype, image.calibration)
        # Maps are of the whole stack: what differs between its channels is no channel's of theirs.
        acquisition = image.calibration.acquisition.over("C")
        known = replace(image.calibration, channels=labels, acquisition=acquisition)
        maps = created("maps", map_axes, tuple(sizes[a] for a in map_axes), np.dtype(np.float32), known)
        with run.progress(f"{stem.name}, {len(plan)} x {plan.sizes['Z']} slices") as progress:
            for index, one in fuse_each(plan, progress=progress, **settings.arguments()):
                at = dict(zip(plan.loop, index, strict=True))
                maps.put(np.stack([np.asarray(getattr(one, n), np.float32) for n in names]), **at)
                if fused is not None:
                    fused.put(one.image, **at)
                else:
                    path = stem.with_name(f"{stem.name}_fused{kind}")
                    run.add("fused", path, encode_image(one.image, kind))
                if one.gains is not None:
                    run.tell(describe_gains(one.gains))
                    run.facts.setdefault("gains", []).append([round(float(gain), 4) for gain in one.gains])
                if not any(index):
                    _draw(run, stem, one, plan.sizes["Z"] - 1, scale)
                    if plan.channels > 1:  # the mesh wears the channel that decided
                        one = replace(one, image=one.image[max(plan.focus, key=plan.focus.__getitem__)])
                    write_relief(run, stem, one, plan.sizes["Z"], relief, like=None)


def _draw(run: Run, stem: Path, first: Fusion, last: int, scale: Scale) -> None:
    """Pictures of the first stack's decision and of its least sigma."""
    decisions = Scale(low=0, high=last, label="sharpest slice", colormap="plasma")
    run.add("index picture", stem.with_name(f"{stem.name}_index.png"), draw_map(first.index, decisions))
    run.add("sigma picture", stem.with_name(f"{stem.name}_sigma.png"), draw_map(first.sigma, scale))


@click.command("info", cls=SectionCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@option("--axes", metavar="LETTERS", section=_SECTION, help="What the axes are, in place of what the file says.")
@max_pixels_option
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object a line instead.")
def info_command(files: tuple[Path, ...], axes: str | None, as_json: bool) -> None:
    """What is in image files: axes, size, type, pixel size, channels, and what `fuse` would do.

    FILES are pictures, TIFF, OME-TIFF, OME-Zarr folders or microscopes' formats.
    """
    for path in files:
        first = open_nd(path, axes=axes)
        for number in range(len(first.scenes)):
            image = first if number == 0 else open_nd(path, scene=number, axes=axes)
            found = _information(image, number)
            if as_json:
                click.echo(json.dumps(found))
                continue
            width = max(map(len, found))
            click.echo("\n".join(f"{key:<{width}}  {_plain(value)}" for key, value in found.items() if value) + "\n")


def _information(image: ImageND, number: int) -> dict[str, Any]:
    known = image.calibration
    channels = [
        " ".join([str(n), *([c.name] if c.name else []), *(["#" + bytes(c.colour).hex()] if c.colour else [])])
        for n, c in enumerate(known.channels)
    ]
    if _is_stack(image):
        from defocus_backend.stacks import StackPlan

        fusion = describe_plan(image, StackPlan(image)).split(": ", 1)[1]
    else:
        fusion = "no axis Z with two or more slices: no focal stack"
    return {
        "file": str(image.path),
        "scene": f"{number} of {len(image.scenes)}, {image.scene}" if len(image.scenes) > 1 else "",
        "format": image.format,
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "pixel size": known.describe() if known.spacing else "",
        "channels": channels,
        "fuse": fusion,
    }


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return (" x " if value and isinstance(value[0], int) else ", ").join(map(str, value))
    return str(value)
