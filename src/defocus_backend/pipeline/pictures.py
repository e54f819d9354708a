"""Map, sharpen, or give a shallow depth of field to single pictures in files."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import READ_SUFFIXES, Picture, encode_image, read_image, read_map
from defocus_backend.io.folders import without_results
from defocus_backend.io.picture import file_errors
from defocus_backend.methods import OWN_METHODS
from defocus_backend.pipeline.distance import Distance
from defocus_backend.pipeline.options import MapFiles, ShallowFiles, SharpenFiles
from defocus_backend.pipeline.run import Listener, Made, Run, made_by, refuse_changed, running
from defocus_backend.render import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from defocus_backend.defocus import DefocusMap

_UNIT_SCALE = Scale(low=0, high=1, label="confidence (0 to 1)")


class _Pictures:
    """The pictures of one run, with the folder of the results and the method of the maps."""

    def __init__(
        self,
        command: str,
        files: Sequence[str | Path],
        settings: MapFiles | SharpenFiles | ShallowFiles,
        ordered: bool,
        listener: Listener | None,
    ) -> None:
        self.settings, self.maps = settings, settings.maps
        self._command, self._listener = command, listener
        paths = tuple(map(Path, files))
        low, high = settings.colours
        self.sigma_scale = Scale(low=low, high=high)
        self._map = None if isinstance(settings, MapFiles) else settings.map
        if self._map is not None:
            made = "this option only where a map is estimated"
            refuse_changed(settings.maps, "with a map", made)
            if settings.colours != type(settings).colours:
                raise InputError("colours", "this option with a map", made)
            if len(paths) != 1:
                raise InputError("map", f"{len(paths)} pictures", "one picture, to which the map belongs")
        self._files = paths if ordered else without_results(paths)
        self.made: Made | None = None

    def each(self) -> Iterator[tuple[Run, Picture, Path]]:
        """Yield every picture with the stem of its results; all files appear after the last picture."""
        for path in self._files:
            _check_exists(path)
        given = [*self._files, *([self._map] if self._map else [])]
        folders = {self._folder(path) for path in self._files}
        device, parameters = self.settings.device, self.settings.flat()
        with running(self._command, given, folders, parameters, device=device, listener=self._listener) as run:
            for path in self._files:
                yield run, read_image(path), self._folder(path) / path.stem
        self.made = made_by(run)

    @property
    def result(self) -> Made:
        """The result of the run, after the last picture."""
        assert self.made is not None
        return self.made

    def _folder(self, path: Path) -> Path:
        return path.parent if self.settings.out is None else self.settings.out

    def range_of(self, picture: Picture) -> tuple[float, float] | None:
        """The given value range, or the range of samples with fewer bits than the dtype of their array."""
        return picture.value_range if self.settings.value_range is None else self.settings.value_range

    def find_map(self, run: Run, picture: Picture) -> DefocusMap:
        """Estimate the defocus map of a picture, in the unit of the method."""
        from defocus_backend.defocus import defocus_map

        run.name_precision(self.maps)
        with run.progress(picture.path.name) as progress:
            return defocus_map(
                picture.array,
                channel_axis=picture.channel_axis,
                **self.maps.arguments(),
                value_range=self.range_of(picture),
                device=run.device,
                progress=progress,
            )

    def sigma(self, run: Run, picture: Picture, stem: Path) -> NDArray[np.float32]:
        """The given map, or an estimated one, which is then added to the results."""
        if self._map is None:
            sigma = self.find_map(run, picture).sigma
            run.add_map("sigma", stem, sigma, self.sigma_scale, like=picture, source=picture.path)
            return sigma
        sigma = read_map(self._map)
        if sigma.shape != picture.array.shape[:2]:
            (h, w), (height, width) = sigma.shape, picture.array.shape[:2]
            raise FileError(f"{self._map}: is {w}x{h} px; expected {width}x{height} px as {picture.path.name}")
        return sigma

    def map_scale(self, found: DefocusMap) -> Scale:
        """Colour scale of a map: the given one for a map in pixels, the range of the map if it has no unit."""
        if found.unit == "px":
            return self.sigma_scale
        low, high = float(np.nanmin(found.raw)), float(np.nanmax(found.raw))
        high = high if high > low else low + 1
        return Scale(low=low, high=high, label=f"blur, relative ({self.maps.map_method})")


def _check_exists(path: Path) -> None:
    """Raise an error for a missing or unknown file before time is spent on the others."""
    with file_errors(path):
        kind = path.stat().st_mode
    if not stat.S_ISREG(kind):
        raise FileError(f"{path}: cannot be read ({'is a folder' if stat.S_ISDIR(kind) else 'not a regular file'})")
    if path.suffix.lower() not in READ_SUFFIXES:
        raise FileError(f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(READ_SUFFIXES)}")


@names_bad_arguments
def map_files(
    files: Sequence[str | Path],
    settings: MapFiles | None = None,
    *,
    ordered: bool = False,
    listener: Listener | None = None,
) -> Made:
    """Write the defocus map of each picture beside it, or into a folder.

    Parameters
    ----------
    files : sequence of path
        Pictures.
    settings : MapFiles or None
        Options of the maps, of the results and of their folder.
    ordered : bool
        Treat every file as an input. Otherwise results of earlier runs are left out with a warning.
    listener : Listener or None
        Receives messages about decisions, and shows progress.

    Returns
    -------
    Made
        The written files. They all appear together at the end.

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError, Cancelled
    """
    settings = settings or MapFiles()
    distance = Distance.of(settings.distance, settings.maps)
    pictures = _Pictures("map", files, settings, ordered, listener)
    for run, picture, stem in pictures.each():
        found = pictures.find_map(run, picture)
        about: dict[str, Any] = {"like": picture, "source": picture.path}
        scale = pictures.map_scale(found)
        run.add_map("sigma" if found.unit == "px" else "blur", stem, found.sigma, scale, **about)
        if settings.raw:
            run.add_map("raw", stem, found.raw, scale, **about)
        if settings.guide:
            run.add_map("guide", stem, found.guide, None, **about)
        if settings.confidence:
            run.add_map("confidence", stem, found.confidence, _UNIT_SCALE, **about)
        if distance is not None:
            distance.add(run, stem, found, **about)
        if settings.threshold is not None:
            mask = encode_image(found.in_focus(settings.threshold), ".png")
            run.add("in focus", stem.with_name(f"{stem.name}_in_focus.png"), mask, source=picture.path)
    return pictures.result


@names_bad_arguments
def sharpen_files(
    files: Sequence[str | Path],
    settings: SharpenFiles | None = None,
    *,
    ordered: bool = False,
    listener: Listener | None = None,
) -> Made:
    """Sharpen each picture where it is slightly soft; write it with its gain and map. Parameters as in `map_files`."""
    settings = settings or SharpenFiles()
    own, params = OWN_METHODS["sharpen"].name, settings.sharpening
    published = settings.method != own
    if published:
        for one in (params, settings.maps):
            refuse_changed(one, f"with the method {settings.method}", f"this option only with the method {own}")
    scale = Scale(low=0, high=max(params.max_gain, 1e-3), label="gain", colormap="magma")
    pictures = _Pictures("sharpen", files, settings, ordered, listener)
    for run, picture, stem in pictures.each():
        about: dict[str, Any] = {"like": picture, "source": picture.path}
        common: dict[str, Any] = {"channel_axis": picture.channel_axis, "value_range": pictures.range_of(picture)}
        if published:
            from defocus_backend.compare.sharpeners import sharpen_with

            run.add_picture(
                "sharpened", stem, sharpen_with(settings.method, picture.array, **common), settings.format, **about
            )
            continue
        from defocus_backend.sharpen import sharpen

        sigma = pictures.sigma(run, picture, stem)
        result = sharpen(picture.array, sigma, **common, **params.arguments(), device=run.device)
        run.add_picture("sharpened", stem, result.image, settings.format, **about)
        run.add_map("gain", stem, result.gain, scale, **about)
    return pictures.result


@names_bad_arguments
def shallow_files(
    files: Sequence[str | Path],
    settings: ShallowFiles | None = None,
    *,
    ordered: bool = False,
    listener: Listener | None = None,
) -> Made:
    """Give each picture a shallow depth of field; write it with its weights and map. Parameters as in `map_files`."""
    settings = settings or ShallowFiles()
    own, params = OWN_METHODS["shallow"].name, settings.depth_of_field
    lens = settings.method != own
    if lens:
        wanted = f"this option only with the method {own}"
        refuse_changed(params, f"with the method {settings.method}", wanted, but=("lens_radius", "highlights"))
    else:
        refuse_changed(settings.lens, f"with the method {own}", "this option only with the method lens")
    scale = Scale(low=0, high=1, label="weight of the sharp picture", colormap="gray")
    pictures = _Pictures("shallow", files, settings, ordered, listener)
    for run, picture, stem in pictures.each():
        about: dict[str, Any] = {"like": picture, "source": picture.path}
        common: dict[str, Any] = {"channel_axis": picture.channel_axis, "value_range": pictures.range_of(picture)}
        sigma = pictures.sigma(run, picture, stem)
        if lens:
            from defocus_backend.compare.lens import lens_blur

            blurred: dict[str, Any] = {
                "radius": params.lens_radius,
                "highlights": params.highlights,
                "focus": settings.focus,
            }
            image = lens_blur(picture.array, sigma, **blurred, **settings.lens.arguments(), **common)
            run.add_picture("shallow", stem, image, settings.format, **about)
            continue
        from defocus_backend.shallow import shallow_depth_of_field

        with run.progress(f"{picture.path.name}: background") as progress:
            result = shallow_depth_of_field(
                picture.array,
                sigma,
                **params.arguments(),
                **common,
                focus=settings.focus,
                device=run.device,
                progress=progress,
            )
        run.add_picture("shallow", stem, result.image, settings.format, **about)
        run.add_map("weights", stem, result.weights, scale, **about)
    return pictures.result
