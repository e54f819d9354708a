"""Roughness, profiles and rendered views of a height map in a file."""

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
        "Size of a pixel in the unit of the height. Without it, lengths are in pixels.",
        kind=float,
        above=0.0,
        metavar="SIZE",
        heading="Input",
        common=True,
    )
    image: Path | None = option(
        None,
        "All-in-focus picture that belongs to the height map; needed for the views.",
        kind=Path,
        metavar="FUSED",
        heading="Input",
        common=True,
    )
    form: str = option(
        "plane",
        "Form that is subtracted from the height first: nothing (none), the mean, the tilt (plane), or the tilt and a "
        "constant curvature (quadric).",
        choices=_FORMS,
        common=True,
    )
    s_filter: float | None = option(
        None,
        "Remove structures smaller than this, such as noise (nesting index of the S-filter).",
        kind=float,
        above=0.0,
        metavar="LENGTH",
        common=True,
    )
    l_filter: float | None = option(
        None,
        "Remove structures larger than this, such as waviness (nesting index of the L-filter).",
        kind=float,
        above=0.0,
        metavar="LENGTH",
        common=True,
    )
    nearest: str = option(
        "high", "End of the height range that is nearer to the lens.", choices=("high", "low"), heading=_VIEWS
    )
    refocus: float | None = option(
        None,
        "Write a picture that is focused at this height, NAME_refocus.",
        kind=float,
        metavar="HEIGHT",
        heading=_VIEWS,
        common=True,
    )
    aperture: float = option(
        2.0,
        "Increase of the blur radius per unit of height away from the focus. Larger values give a shallower depth of "
        "field.",
        unit="px",
        low=0.0,
        heading=_VIEWS,
    )
    anaglyph: bool = option(
        False, "Write a stereo picture for red-cyan glasses, NAME_anaglyph.png.", heading=_VIEWS, common=True
    )
    stereo: bool = option(
        False, "Write a side-by-side stereo pair for parallel viewing, NAME_stereo.png.", heading=_VIEWS
    )
    rock: str | None = option(
        None,
        "Write an animation that rocks from side to side, NAME_rock. mp4 needs OpenCV.",
        kind=str,
        choices=("gif", "mp4"),
        heading=_VIEWS,
        common=True,
    )
    angle: float = option(
        8.0,
        "Angle between the two views of a stereo pair, and largest angle of the animation to each side.",
        unit="degrees",
        low=0.0,
        high=60.0,
        heading=_VIEWS,
    )
    out: Path | None = option(None, "Folder for the results.", kind=Path, metavar="DIR", heading=_OUTPUT, common=True)
    level: bool = option(
        False, "Also write the levelled height from which the roughness is computed, NAME_level.tif.", heading=_OUTPUT
    )
    profile: tuple[float, float, float, float] | None = option(
        None,
        "Also write the height along a line between two pixels, after the form is subtracted, NAME_profile.csv.",
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
    """Measure the roughness of a height map, and write refocused and stereo views of it.

    Parameters
    ----------
    height : path
        Float TIFF written by `fuse_files` with the option `height`.
    settings : SurfaceFiles or None
        Options; by default only the roughness is computed.
    listener : Listener or None
        Receives messages about the results.

    Returns
    -------
    Made
        The written files. ``facts["roughness"]`` has Sa, Sq, Sz, Ssk and Sku of ISO 25178.

    Raises
    ------
    InputError, FileError
    """
    settings, path = settings or SurfaceFiles(), Path(height)
    wanted = [
        name for name in ("refocus", "anaglyph", "stereo", "rock") if getattr(settings, name) not in (None, False)
    ]
    if wanted and settings.image is None:
        raise InputError(wanted[0], "this option without a picture", "this option only together with image")
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
