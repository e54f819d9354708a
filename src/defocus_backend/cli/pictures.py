"""Commands on single pictures: map, sharpen, shallow."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from defocus_backend.cli.options import (
    MAP_SECTION,
    SectionCommand,
    map_options,
    method_option,
    option,
    output_options,
    params_options,
    picture_format_option,
    refuse_given,
    refuse_settings,
    run_options,
    sigma_map_options,
    take,
)
from defocus_backend.cli.run import WITHIN, Run, as_parameters, running
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import READ_SUFFIXES, Picture, encode_image, read_image, read_map
from defocus_backend.io.folders import without_results
from defocus_backend.io.picture import file_errors
from defocus_backend.methods import OWN_METHODS, SHALLOW_METHODS, SHARPEN_METHODS
from defocus_backend.params import MapParams, QualityParams, ShallowParams, SharpenParams, SigmaParams
from defocus_backend.render import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from defocus_backend.calibration import DefocusCalibration
    from defocus_backend.defocus import DefocusMap

_LENS_SECTION = "Only with --method lens"
UNIT_SCALE = Scale(low=0, high=1, label="confidence (0 to 1)")
_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
_MAP_FILE = option(
    "--map",
    "map_file",
    type=click.Path(path_type=Path),
    metavar="FILE.tif",
    section=MAP_SECTION,
    help="Take this map, as `defocus map` writes it, instead of making one.",
)


class _Job:
    """The pictures of one command: where results go and how maps are made."""

    def __init__(
        self,
        command: str,
        files: tuple[Path, ...],
        options: dict[str, Any],
        maps: type[MapParams] = SigmaParams,
    ) -> None:
        self.command, self.files = command, files
        self.out: Path | None = options.pop("out")
        self.suffix: str = options.pop("suffix", "same")
        low, high = options.pop("colours")
        self.sigma_scale = Scale(low=low, high=high)
        self.params = take(maps, options)
        self.value_range: tuple[float, float] | None = options.pop("value_range")
        self.map_file: Path | None = options.pop("map_file", None)
        self.run_options = {name: options.pop(name) for name in ("device", "quiet", "as_json")}
        if self.map_file is not None:
            made = "it only where a map is made"
            refuse_given("with --map", made, sections=(MAP_SECTION,), also=("colours",), but=("map_file",))
            if len(files) != 1:
                raise InputError("--map", f"{len(files)} pictures", "one picture, to which the map belongs")

    def each(self, parameters: dict[str, Any]) -> Iterator[tuple[Run, Picture, Path]]:
        """Every picture with the stem of its results; all files appear after the last."""
        if WITHIN.get() is None:
            self.files = without_results(self.files)
        for path in self.files:
            _check_exists(path)
        parameters = {**parameters, "value_range": self.value_range}
        if self.map_file is not None:
            parameters = {**parameters, "map": str(self.map_file)}
        given = [*self.files, *([self.map_file] if self.map_file else [])]
        folders = {self.folder(path) for path in self.files}
        with running(self.command, given, folders, parameters, **self.run_options) as run:
            for path in self.files:
                yield run, read_image(path), self.folder(path) / path.stem

    def folder(self, path: Path) -> Path:
        return path.parent if self.out is None else self.out

    def range_of(self, picture: Picture) -> tuple[float, float] | None:
        """The range that was given, or that of samples of fewer bits than their array's."""
        return picture.value_range if self.value_range is None else self.value_range

    def find_map(self, run: Run, picture: Picture) -> DefocusMap:
        """The defocus map of a picture in the unit of the method, with a progress bar."""
        from defocus_backend.defocus import defocus_map

        run.name_precision(self.params)
        with run.progress(picture.path.name) as progress:
            return defocus_map(
                picture.array,
                channel_axis=picture.channel_axis,
                **asdict(self.params),
                value_range=self.range_of(picture),
                device=run.device,
                progress=progress,
            )

    def sigma(self, run: Run, picture: Picture, stem: Path) -> NDArray[np.float32]:
        """The given map, or one made now, which is then among the results."""
        if self.map_file is None:
            sigma = self.find_map(run, picture).sigma
            run.add_map("sigma", stem, sigma, self.sigma_scale, like=picture, source=picture.path)
            return sigma
        sigma = read_map(self.map_file)
        if sigma.shape != picture.array.shape[:2]:
            (h, w), (height, width) = sigma.shape, picture.array.shape[:2]
            raise FileError(f"{self.map_file}: is {w}x{h} px; expected {width}x{height} px as {picture.path.name}")
        return sigma

    def map_scale(self, found: DefocusMap) -> Scale:
        """Colours of a map: the given ones for pixels, its own range where it has no unit."""
        if found.unit == "px":
            return self.sigma_scale
        low, high = float(np.nanmin(found.raw)), float(np.nanmax(found.raw))
        high = high if high > low else low + 1
        return Scale(low=low, high=high, label=f"blur, relative ({self.params.map_method})")

    @property
    def about_map(self) -> dict[str, Any]:
        """How maps are made, for the summary."""
        return as_parameters(self.params)


def _check_exists(path: Path) -> None:
    """Find a missing or unknown file before hours are spent on the others."""
    with file_errors(path):
        kind = path.stat().st_mode
    if not stat.S_ISREG(kind):
        raise FileError(f"{path}: cannot be read ({'is a folder' if stat.S_ISDIR(kind) else 'no regular file'})")
    if path.suffix.lower() not in READ_SUFFIXES:
        raise FileError(f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(READ_SUFFIXES)}")


def _all(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


@click.command("map", cls=SectionCommand)
@_all(_FILES, map_options, output_options)
@option("--raw", is_flag=True, help="Also write the map before refinement, NAME_raw.")
@option("--guide", is_flag=True, help="Also write the smoothed image that guides the refinement, NAME_guide.tif.")
@option("--confidence", is_flag=True, help="Also write how sure the map is, 0 to 1, NAME_confidence.")
@option(
    "--threshold",
    type=click.FloatRange(0, min_open=True),
    metavar="PX",
    help="Also write what is in focus, that is below this sigma, as a black and white NAME_in_focus.png.",
)
@option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Also write the distance from focus, NAME_defocus, and its error, by a file made by `defocus calibrate`.",
)
@option("--channel", default="0", metavar="NAME", help="Channel of that calibration, by name or number.")
@run_options
def map_command(
    files: tuple[Path, ...],
    raw: bool,
    guide: bool,
    confidence: bool,
    threshold: float | None,
    calibration: Path | None,
    channel: str,
    **options: Any,
) -> None:
    """How blurred every pixel is, in pixels of Gaussian sigma, 0 to 19.

    For each FILE writes NAME_sigma.tif (float, px) and NAME_sigma.png (coloured, with a colour bar).
    Sharp is 0; NaN pixels stay NaN in the TIFF and are gray in the picture. With a --map-method that has no
    unit (`defocus methods` tells) the files are called NAME_blur and hold its own numbers, larger where
    the picture is more blurred.
    """
    known = None if calibration is None else _read_calibration(calibration)
    job = _Job("map", files, options, MapParams)
    parameters = {"threshold": threshold, "calibration": None if calibration is None else str(calibration)}
    for run, picture, stem in job.each({**job.about_map, **parameters}):
        found = job.find_map(run, picture)
        about: dict[str, Any] = {"like": picture, "source": picture.path}
        scale = job.map_scale(found)
        run.add_map("sigma" if found.unit == "px" else "blur", stem, found.sigma, scale, **about)
        if raw:
            run.add_map("raw", stem, found.raw, scale, **about)
        if guide:
            run.add_map("guide", stem, found.guide, None, **about)
        if confidence:
            run.add_map("confidence", stem, found.confidence, UNIT_SCALE, **about)
        if known is not None:
            from defocus_backend.cli.calibrate import add_distance

            if found.unit != "px":
                raise InputError(
                    "--calibration", f"it with --map-method {job.params.map_method}", "a method with maps in pixels"
                )
            sure = np.where(found.confidence > QualityParams.confident_above, found.sigma, np.nan)
            add_distance(run, stem, sure, known.channel(channel), known.unit, **about)
        if threshold is not None:
            mask = encode_image(found.in_focus(threshold), ".png")
            run.add("in focus", stem.with_name(f"{stem.name}_in_focus.png"), mask, source=picture.path)


def _read_calibration(path: Path) -> DefocusCalibration:
    from defocus_backend.calibration import read_calibration

    return read_calibration(path)


@click.command("sharpen", cls=SectionCommand)
@_all(_FILES, method_option("sharpen", SHARPEN_METHODS), params_options(SharpenParams, "Sharpening"))
@_all(_MAP_FILE, sigma_map_options, output_options, picture_format_option, run_options)
def sharpen_command(files: tuple[Path, ...], method: str, **options: Any) -> None:
    """Sharpen where a picture is slightly soft; leave what is sharp and what is far out of focus.

    For each FILE writes NAME_sharpened, NAME_gain (the sharpening gain at every pixel, .tif and .png) and,
    unless it was given with --map, NAME_sigma (the defocus map, .tif and .png). The published methods look
    at no map: of them there is NAME_sharpened only.
    """
    if method != OWN_METHODS["sharpen"].name:
        refuse_settings(method, "sharpen", sections=("Sharpening", MAP_SECTION))
    params = take(SharpenParams, options)
    job = _Job("sharpen", files, options)
    if method != OWN_METHODS["sharpen"].name:
        _sharpen_published(job, method)
        return
    scale = Scale(low=0, high=max(params.max_gain, 1e-3), label="gain", colormap="magma")
    for run, picture, stem in job.each({"method": method, **as_parameters(params), **job.about_map}):
        from defocus_backend.sharpen import sharpen

        result = sharpen(
            picture.array,
            job.sigma(run, picture, stem),
            channel_axis=picture.channel_axis,
            **asdict(params),
            value_range=job.range_of(picture),
            device=run.device,
        )
        run.add_picture("sharpened", stem, result.image, job.suffix, like=picture, source=picture.path)
        run.add_map("gain", stem, result.gain, scale, like=picture, source=picture.path)


def _sharpen_published(job: _Job, method: str) -> None:
    for run, picture, stem in job.each({"method": method}):
        from defocus_backend.compare.sharpeners import sharpen_with

        sharpened = sharpen_with(
            method, picture.array, channel_axis=picture.channel_axis, value_range=job.range_of(picture)
        )
        run.add_picture("sharpened", stem, sharpened, job.suffix, like=picture, source=picture.path)


@click.command("shallow", cls=SectionCommand)
@_all(_FILES, method_option("shallow", SHALLOW_METHODS), params_options(ShallowParams, "Depth of field"))
@option(
    "--focus",
    type=float,
    metavar="PX",
    section="Depth of field",
    help="Sigma that shall count as in focus instead of 0: brings another plane forward. With --method lens a value "
    "of the map in its own unit; by default its nearest.",
)
@option(
    "--reach",
    type=click.FloatRange(0, min_open=True),
    metavar="VALUE",
    section=_LENS_SECTION,
    help="Distance from the focus, in units of the map, at which the disc has its full radius; by default the "
    "largest in the map.",
)
@option(
    "--nearest",
    type=click.Choice(["low", "high"]),
    default="low",
    show_default=True,
    section=_LENS_SECTION,
    help="Which values of the map are near the camera: low for depth and defocus, high for disparity.",
)
@_all(_MAP_FILE, sigma_map_options, output_options, picture_format_option, run_options)
def shallow_command(files: tuple[Path, ...], method: str, focus: float | None, **options: Any) -> None:
    """Make a shallow depth of field: blur further what is out of focus already.

    For each FILE writes NAME_shallow, NAME_weights (1 where the picture stays sharp, 0 where it is blurred,
    .tif and .png) and, unless it was given with --map, NAME_sigma (the defocus map, .tif and .png).
    --method lens takes a map of any unit, such as a depth, and uses no weights.
    """
    params = take(ShallowParams, options)
    lens = {name: options.pop(name) for name in ("reach", "nearest")}
    job = _Job("shallow", files, options)
    if method != OWN_METHODS["shallow"].name:
        kept = ("focus", "lens_radius", "highlights")
        refuse_settings(method, "shallow", sections=("Depth of field",), but=kept)
        _shallow_lens(job, {**lens, "focus": focus, "radius": params.lens_radius, "highlights": params.highlights})
        return
    refuse_settings(method, "shallow", sections=(_LENS_SECTION,), only="lens")
    scale = Scale(low=0, high=1, label="weight of the sharp picture", colormap="gray")
    for run, picture, stem in job.each({"method": method, "focus": focus, **as_parameters(params), **job.about_map}):
        from defocus_backend.shallow import shallow_depth_of_field

        sigma = job.sigma(run, picture, stem)
        with run.progress(f"{picture.path.name}: background") as progress:
            result = shallow_depth_of_field(
                picture.array,
                sigma,
                channel_axis=picture.channel_axis,
                **asdict(params),
                focus=focus,
                value_range=job.range_of(picture),
                device=run.device,
                progress=progress,
            )
        run.add_picture("shallow", stem, result.image, job.suffix, like=picture, source=picture.path)
        run.add_map("weights", stem, result.weights, scale, like=picture, source=picture.path)


def _shallow_lens(job: _Job, settings: dict[str, Any]) -> None:
    for run, picture, stem in job.each({"method": "lens", **settings, **job.about_map}):
        from defocus_backend.compare.lens import lens_blur

        image = lens_blur(
            picture.array,
            job.sigma(run, picture, stem),
            **settings,
            channel_axis=picture.channel_axis,
            value_range=job.range_of(picture),
        )
        run.add_picture("shallow", stem, image, job.suffix, like=picture, source=picture.path)
