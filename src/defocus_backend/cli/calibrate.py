"""The command that calibrates sigma against z, and what other commands do with a calibration."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from defocus_backend.cli.options import MAP_SECTION, SectionCommand, option, run_options
from defocus_backend.cli.run import Run, running
from defocus_backend.errors import InputError
from defocus_backend.methods import PIXEL_MAP_NAMES
from defocus_backend.params import SigmaParams

if TYPE_CHECKING:
    from defocus_backend.calibration import ChannelCalibration, DefocusCalibration

_STACK = "Stack"


@click.command("calibrate", cls=SectionCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="STACK...")
@option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.json",
    help="Calibration to write; NAME.png beside it shows the fit.",
)
@option(
    "--z-step",
    type=float,
    metavar="DISTANCE",
    section=_STACK,
    help="Distance from plane to plane, negative if z falls; by default what the file states.",
)
@option("--unit", metavar="NAME", section=_STACK, help="Unit of --z-step and --pixel-size.  [default: um]")
@option(
    "--pixel-size",
    type=click.FloatRange(0, min_open=True),
    metavar="SIZE",
    section=_STACK,
    help="Size of a pixel, for the aperture and for angles; by default what the file states.",
)
@option(
    "--refractive-index",
    type=click.FloatRange(1, 3),
    default=1.0,
    show_default=True,
    metavar="N",
    section=_STACK,
    help="Of the immersion medium: 1 air, 1.33 water, 1.515 oil.",
)
@option(
    "--map-method",
    type=click.Choice(list(PIXEL_MAP_NAMES)),
    default=SigmaParams.map_method,
    show_default=True,
    section=MAP_SECTION,
    help="Network or published method that estimates sigma.",
)
@option("--weights", metavar="NAME|FILE", section=MAP_SECTION, help="Other weights, see `defocus models`.")
@run_options
def calibrate_command(files: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Calibrate sigma against z on a stack of something flat that spans the focus on both sides.

    STACK is one file with the planes, and perhaps channels, or one file a plane, in order. Fits a hyperbola to
    sigma(z) for every channel, with the tilt and the bowl of the focal surface over the field, and reports the depth of
    field and the effective aperture. `defocus map --calibration FILE` and `defocus qc --calibration FILE` then give the
    distance from focus with its error.
    """
    from defocus_backend.calibration import write_calibration

    if out.suffix.lower() != ".json":
        raise InputError("--out", str(out), "a file name ending in .json")
    where = {name: options.pop(name) for name in ("device", "quiet", "as_json")}
    with running("calibrate", files, [out.parent], {**options}, **where) as run:
        found = _calibrate(run, files, options)
        write_calibration(run.stage("calibration", out), found)
        run.add("fit", out.with_suffix(".png"), _draw(found))
        run.facts["channels"] = [_facts(found, number) for number in range(len(found.channels))]
        for fact in run.facts["channels"]:
            run.tell(_sentence(fact, found.unit))


def _calibrate(run: Run, files: Sequence[Path], options: dict[str, Any]) -> DefocusCalibration:
    """The calibration of every channel, one after another."""
    from defocus_backend.calibration import calibrate_defocus

    stacks, known = _stacks(files)
    step = options["z_step"] or known.get("z_step")
    if step is None:
        raise InputError("--z-step", "none", "the distance of the planes, which the file does not state")
    unit = options["unit"] or (known.get("unit", "um") if options["z_step"] is None else "um")
    calibrations = []
    for name, stack, channel_axis in stacks:
        with run.progress(name or files[0].name) as progress:
            calibrations.append(
                calibrate_defocus(
                    stack,
                    z_step=step,
                    unit=unit,
                    pixel_size=options["pixel_size"] or known.get("pixel_size"),
                    refractive_index=options["refractive_index"],
                    name=name,
                    channel_axis=channel_axis,
                    map_method=options["map_method"],
                    weights=options["weights"],
                    device=run.device,
                    progress=progress,
                )
            )
    return replace(calibrations[0], channels=tuple(one.channels[0] for one in calibrations))


def _stacks(files: Sequence[Path]) -> tuple[list[tuple[str, Any, int | None]], dict[str, Any]]:
    """Name, planes and channel axis of each channel, and what the file says of lengths."""
    from defocus_backend.io import open_nd
    from defocus_backend.stacks import open_stack

    if len(files) > 1:
        stack = open_stack(files)
        return [("", stack, stack.channel_axis)], {}
    image = open_nd(files[0])
    for axis in "PT":
        if image.sizes.get(axis, 1) > 1:
            raise InputError("STACK", f"{image.sizes[axis]} along the axis {axis}", "one stack of planes (Z)")
        image = image.pick(axis, 0) if axis in image.axes else image
    if "Z" not in image.axes:
        raise InputError("STACK", f"axes {image.axes} of {files[0]}", "planes along the axis Z")
    known = image.calibration
    unit = known.units.get("Z", "um").replace("µ", "u")
    facts = {"z_step": known.spacing.get("Z"), "unit": unit}
    if known.units.get("X") == known.units.get("Z"):
        facts["pixel_size"] = known.spacing.get("X")
    colour = -1 if image.axes.endswith("S") else None
    if "C" not in image.axes:
        return [("", image, colour)], facts
    names = [channel.name or str(n) for n, channel in enumerate(known.channels)] or None
    count = image.sizes["C"]
    return [(names[n] if names else str(n), image.pick("C", n), colour) for n in range(count)], facts


def _facts(found: DefocusCalibration, number: int) -> dict[str, Any]:
    one = found.channels[number]
    facts: dict[str, Any] = {
        "name": one.name,
        "z0": one.z0,
        "sigma0_px": one.sigma0,
        "slope_below_px": one.slope_below,
        "slope_above_px": one.slope_above,
        "depth_of_field": one.depth_of_field,
        "range": [-one.reach_below, one.reach_above],
        "bowl_at_corner": one.bowl * ((found.shape[0] / 2) ** 2 + (found.shape[1] / 2) ** 2),
        "residual_px": one.residual,
    }
    if found.pixel_size is not None:
        facts["aperture"] = found.aperture(number)
        facts["tilt_degrees"] = found.tilt_degrees(number)
    return facts


def _sentence(fact: dict[str, Any], unit: str) -> str:
    text = (
        f"{fact['name'] or 'stack'}: sigma {fact['sigma0_px']:.2f} px in focus, growing by "
        f"{fact['slope_below_px']:.3g} (below) and {fact['slope_above_px']:.3g} px/{unit} (above); "
        f"depth of field {fact['depth_of_field']:.3g} {unit}"
    )
    if "aperture" in fact:
        tilt = fact["tilt_degrees"]
        text += f"; effective aperture {fact['aperture']:.2f}, tilt {tilt[0]:.2f} and {tilt[1]:.2f} degrees"
    return text + f", bowl {fact['bowl_at_corner']:.3g} {unit} in the corners"


def _draw(found: DefocusCalibration) -> bytes:
    """Measured sigma of each plane and the fitted hyperbolas, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for one in found.channels:
        z = np.linspace(min(one.z), max(one.z), 400)
        (line,) = axes.plot(z, one.sigma_at(z - one.z0), label=f"{one.name or 'fit'}")
        axes.plot(one.z, one.sigma, "o", color=line.get_color(), markersize=4)
        half = one.sigma0 / one.slope_below, one.sigma0 / one.slope_above
        axes.axvspan(one.z0 - half[0], one.z0 + half[1], color=line.get_color(), alpha=0.12)
    axes.set_xlabel(f"z / {found.unit}")
    axes.set_ylabel("sigma / px")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def add_distance(run: Run, stem: Path, sigma: Any, one: ChannelCalibration, unit: str, **about: Any) -> None:
    """Add the distance from focus and its error to the files of a run, as ``NAME_defocus`` and its error."""
    from defocus_backend.render import Scale

    found = one.distance(sigma, pixels=True)
    reach = max(one.reach_below, one.reach_above)
    scale = Scale(low=0, high=reach, label=f"distance from focus / {unit}", colormap="viridis")
    run.add_map("defocus", stem, found.distance, scale, **about)
    run.add_map("defocus_error", stem, found.error, None, **about)
    beyond = float(np.mean(np.isfinite(sigma) & ~np.isfinite(found.distance)))
    if beyond:
        run.tell(f"{beyond:.0%} of the pixels are blurred beyond the calibration and have no distance")
