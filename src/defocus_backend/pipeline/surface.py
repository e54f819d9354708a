"""A height map in a file to its roughness, a profile, and pictures from other sides."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.io import Picture, encode_image, encode_map, read_image, read_map
from defocus_backend.options import option
from defocus_backend.params import RunParams
from defocus_backend.pipeline.run import Listener, Made, Run, made_by, running

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMS = ("none", "mean", "plane", "quadric")
_VIEWS, _OUTPUT = "Views (with an image)", "Output"


@dataclass(frozen=True, kw_only=True)
class SurfaceFiles(RunParams):
    """Options of `surface_files`."""

    heading: ClassVar[str] = "Roughness"

    pixel_size: float | None = option(
        None,
        "Size of a pixel in the unit of the height; without it lengths are in pixels.",
        kind=float,
        above=0.0,
        metavar="SIZE",
        heading="Input",
        common=True,
    )
    image: Path | None = option(
        None,
        "The all-in-focus picture of this height.",
        kind=Path,
        metavar="FUSED",
        heading="Input",
        common=True,
    )
    form: str = option(
        "plane",
        "What is subtracted first: nothing, the mean, the tilt, or the tilt and a constant curvature.",
        choices=_FORMS,
        common=True,
    )
    s_filter: float | None = option(
        None,
        "Remove structures smaller than this, for example noise: nesting index of the S-filter.",
        kind=float,
        above=0.0,
        metavar="LENGTH",
        common=True,
    )
    l_filter: float | None = option(
        None,
        "Remove structures larger than this, for example waviness: nesting index of the L-filter.",
        kind=float,
        above=0.0,
        metavar="LENGTH",
        common=True,
    )
    nearest: str = option("high", "End of the height that is near the lens.", choices=("high", "low"), heading=_VIEWS)
    refocus: float | None = option(
        None,
        "Write the picture focused at this height, NAME_refocus.",
        kind=float,
        metavar="HEIGHT",
        heading=_VIEWS,
        common=True,
    )
    aperture: float = option(
        2.0,
        "Growth of the disc's radius for each unit of height away from the focus; larger is shallower.",
        unit="px",
        low=0.0,
        heading=_VIEWS,
    )
    anaglyph: bool = option(
        False, "Write a picture for red and cyan glasses, NAME_anaglyph.png.", heading=_VIEWS, common=True
    )
    stereo: bool = option(False, "Write a pair for parallel eyes, NAME_stereo.png.", heading=_VIEWS)
    rock: str | None = option(
        None,
        "Write an animation that rocks from side to side, NAME_rock; mp4 needs OpenCV.",
        kind=str,
        choices=("gif", "mp4"),
        heading=_VIEWS,
        common=True,
    )
    angle: float = option(
        8.0,
        "Angle between the eyes of a pair, and of the animation to either side.",
        unit="degrees",
        low=0.0,
        high=60.0,
        heading=_VIEWS,
    )
    out: Path | None = option(None, "Folder for the results.", kind=Path, metavar="DIR", heading=_OUTPUT, common=True)
    level: bool = option(
        False, "Also write the height from which the roughness is computed, NAME_level.tif.", heading=_OUTPUT
    )
    profile: tuple[float, float, float, float] | None = option(
        None,
        "Also write the height along a line from one pixel to another, NAME_profile.csv; the form is taken off.",
        kind=float,
        count=4,
        metavar="ROW COL ROW COL",
        heading=_OUTPUT,
        common=True,
    )


@names_bad_arguments
def surface_files(
    height: str | Path, settings: SurfaceFiles | None = None, *, listener: Listener | None = None
) -> Made:
    """Measure a height map as a surface, and write what it looks like through other lenses and from other sides.

    Parameters
    ----------
    height : path
        What `fuse_files` writes with `height`: a float TIFF.
    settings : SurfaceFiles or None
        How it is measured, what is written, and where.
    listener : Listener or None
        Hears what is found.

    Returns
    -------
    Made
        The files that were written; ``facts["roughness"]`` has Sa, Sq, Sz, Ssk and Sku after ISO 25178.

    Raises
    ------
    InputError, FileError
    """
    settings, path = settings or SurfaceFiles(), Path(height)
    wanted = [
        name for name in ("refocus", "anaglyph", "stereo", "rock") if getattr(settings, name) not in (None, False)
    ]
    if wanted and settings.image is None:
        raise InputError(wanted[0], "it without a picture", "it together with image")
    given = [path, *([settings.image] if settings.image else [])]
    folder = path.parent if settings.out is None else settings.out
    with running("surface", given, [folder], settings.flat(), device=settings.device, listener=listener) as run:
        values = read_map(path)
        _measure(run, folder / path.stem, values, settings)
        if settings.image is not None:
            _show(run, folder / settings.image.stem, read_image(settings.image), values, settings)
    return made_by(run)


def _measure(run: Run, stem: Path, height: NDArray[np.float32], settings: SurfaceFiles) -> None:
    from defocus_backend.surface.form import level_height
    from defocus_backend.surface.profile import height_profile
    from defocus_backend.surface.roughness import roughness, texture

    size = settings.pixel_size or 1.0
    how: dict[str, Any] = {
        "form": settings.form,
        "s_filter": settings.s_filter,
        "l_filter": settings.l_filter,
        "pixel_size": size,
    }
    found = roughness(height, **how)
    run.facts["roughness"] = asdict(found)
    run.tell(
        f"Sa {found.sa:.4g}, Sq {found.sq:.4g}, Sz {found.sz:.4g}, Ssk {found.ssk:.3g}, Sku {found.sku:.3g}; "
        f"{found.known:.0%} of the surface is known"
    )
    if settings.level:
        level = texture(height, **how)
        run.add("level", stem.with_name(f"{stem.name}_level.tif"), encode_map(level, description="height"))
    if settings.profile is not None:
        ends = settings.profile
        line = height_profile(level_height(height, how["form"]), ends[:2], ends[2:], pixel_size=size)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["distance", "height"])
        writer.writerows(
            [f"{d:.6g}", f"{h:.6g}" if np.isfinite(h) else ""] for d, h in zip(line.distance, line.height, strict=True)
        )
        run.add("profile", stem.with_name(f"{stem.name}_profile.csv"), text.getvalue().encode())


def _show(run: Run, stem: Path, picture: Picture, height: NDArray[np.float32], settings: SurfaceFiles) -> None:
    from defocus_backend.surface import anaglyph, refocus, rocking_views, side_by_side, stereo_pair, write_animation

    near: dict[str, Any] = {"nearest": settings.nearest, "channel_axis": picture.channel_axis}
    if settings.refocus is not None:
        shallow = refocus(picture.array, height, settings.refocus, aperture=settings.aperture, **near)
        run.add_picture("refocus", stem, shallow, "same", like=picture)
    seen = {**near, "pixel_size": settings.pixel_size or 1.0}
    if settings.anaglyph or settings.stereo:
        pair = stereo_pair(picture.array, height, settings.angle, **seen)
        if settings.anaglyph:
            run.add("anaglyph", stem.with_name(f"{stem.name}_anaglyph.png"), encode_image(anaglyph(pair), ".png"))
        if settings.stereo:
            run.add("stereo", stem.with_name(f"{stem.name}_stereo.png"), encode_image(side_by_side(pair), ".png"))
    if settings.rock:
        path = stem.with_name(f"{stem.name}_rock.{settings.rock}")
        part = run.stage("animation", path)
        made = part.with_name(f"{part.name}.{settings.rock}")
        write_animation(made, rocking_views(picture.array, height, settings.angle, **seen))
        made.replace(part)
