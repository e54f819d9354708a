"""Calibrate sigma against z with a stack of a flat object in files, and plot the fit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from defocus_backend.errors import InputError
from defocus_backend.methods import DEFAULT_NETWORK, PIXEL_MAP_NAMES
from defocus_backend.options import option
from defocus_backend.params import RunParams, SigmaParams
from defocus_backend.pipeline.run import Listener, Made, Run, made_by, running

if TYPE_CHECKING:
    from defocus_backend.calibration import DefocusCalibration

_MAP = SigmaParams.describe()


@dataclass(frozen=True, kw_only=True)
class CalibrateFiles(RunParams):
    """Options of `calibrate_files`."""

    heading: ClassVar[str] = "Stack"

    z_step: float | None = option(
        None,
        "Distance between planes, negative if z decreases. Default: the distance stated in the file.",
        kind=float,
        metavar="DISTANCE",
    )
    unit: str | None = option(
        None, "Unit of z_step and pixel_size. Default: the unit stated in the file, or um.", kind=str, metavar="NAME"
    )
    pixel_size: float | None = option(
        None,
        "Size of a pixel, for the aperture and the tilt angles. Default: the size stated in the file.",
        kind=float,
        above=0.0,
        metavar="SIZE",
    )
    refractive_index: float = option(
        1.0,
        "Refractive index of the immersion medium: 1 for air, 1.33 for water, 1.515 for oil.",
        low=1.0,
        high=3.0,
        metavar="N",
    )
    map_method: str = option(
        DEFAULT_NETWORK, _MAP["map_method"]["help"], choices=PIXEL_MAP_NAMES, heading=SigmaParams.heading
    )
    weights: str | Path | None = option(
        None, _MAP["weights"]["help"], kind=object, metavar="NAME|FILE", heading=SigmaParams.heading
    )


def calibrate_files(
    files: Sequence[str | Path],
    out: str | Path,
    settings: CalibrateFiles | None = None,
    *,
    listener: Listener | None = None,
) -> Made:
    """Calibrate sigma against z on a stack in files, and write the calibration and a picture of the fit.

    Parameters
    ----------
    files : sequence of path
        One file with the planes, and perhaps channels, or one file per plane, in order.
    out : path
        Calibration file to write, ``.json``. The plot is written beside it.
    settings : CalibrateFiles or None
    listener : Listener or None
        Receives messages about the results, and shows progress.

    Returns
    -------
    Made
        The written files. ``facts["channels"]`` has the fitted values of each channel.

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError, Cancelled
    """
    from defocus_backend.calibration import write_calibration

    settings, target, paths = settings or CalibrateFiles(), Path(out), [Path(file) for file in files]
    if target.suffix.lower() != ".json":
        raise InputError("out", str(target), "a file name ending in .json")
    with running(
        "calibrate", paths, [target.parent], settings.flat(), device=settings.device, listener=listener
    ) as run:
        found = _calibrate(run, paths, settings)
        write_calibration(run.stage("calibration", target), found)
        run.add("fit", target.with_suffix(".png"), _draw(found))
        run.facts["channels"] = [_facts(found, number) for number in range(len(found.channels))]
        for fact in run.facts["channels"]:
            run.tell(_sentence(fact, found.unit))
    return made_by(run)


def _calibrate(run: Run, files: Sequence[Path], settings: CalibrateFiles) -> DefocusCalibration:
    """Calibrate every channel, one after another."""
    from defocus_backend.calibration import calibrate_defocus

    stacks, known = _stacks(files)
    step = settings.z_step or known.get("z_step")
    if step is None:
        raise InputError("z_step", "none", "the distance between planes, because the file does not state it")
    unit = settings.unit or (known.get("unit", "um") if settings.z_step is None else "um")
    calibrations = []
    for name, stack, channel_axis in stacks:
        with run.progress(name or files[0].name) as progress:
            calibrations.append(
                calibrate_defocus(
                    stack,
                    z_step=step,
                    unit=unit,
                    pixel_size=settings.pixel_size or known.get("pixel_size"),
                    refractive_index=settings.refractive_index,
                    name=name,
                    channel_axis=channel_axis,
                    map_method=settings.map_method,
                    weights=settings.weights,
                    device=run.device,
                    progress=progress,
                )
            )
    return replace(calibrations[0], channels=tuple(one.channels[0] for one in calibrations))


def _stacks(files: Sequence[Path]) -> tuple[list[tuple[str, Any, int | None]], dict[str, Any]]:
    """Name, planes and channel axis of each channel, and the lengths stated in the file."""
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
    return text + f", curvature of the field {fact['bowl_at_corner']:.3g} {unit} in the corners"


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
