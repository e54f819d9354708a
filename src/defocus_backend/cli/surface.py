"""The command that measures a height map and shows it from other sides: surface."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from defocus_backend.cli.options import OUTPUT_SECTION, SectionCommand, option, run_options
from defocus_backend.cli.run import Run, running
from defocus_backend.errors import InputError
from defocus_backend.io import Picture, encode_image, encode_map, read_image, read_map

_ROUGHNESS, _VIEWS = "Roughness", "Views (with --image)"
_FORMS = ("none", "mean", "plane", "quadric")
_positive = click.FloatRange(0, min_open=True)


@click.command("surface", cls=SectionCommand)
@click.argument("height_file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="HEIGHT.tif")
@option(
    "--pixel-size",
    type=_positive,
    metavar="SIZE",
    section="Input",
    help="Size of a pixel in the unit of the height; without it lengths are in pixels.",
)
@option(
    "--form",
    type=click.Choice(_FORMS),
    default="plane",
    show_default=True,
    section=_ROUGHNESS,
    help="What is taken off before: nothing, the mean, the tilt, or the tilt and a constant curvature.",
)
@option(
    "--s-filter",
    type=_positive,
    metavar="LENGTH",
    section=_ROUGHNESS,
    help="Remove what is smaller: nesting index of the S-filter, such as to leave out noise.",
)
@option(
    "--l-filter",
    type=_positive,
    metavar="LENGTH",
    section=_ROUGHNESS,
    help="Remove what is larger: nesting index of the L-filter, such as to leave out waviness.",
)
@option("--level", is_flag=True, help="Also write the height of which the roughness is taken, NAME_level.tif.")
@option(
    "--profile",
    nargs=4,
    type=float,
    metavar="ROW COL ROW COL",
    help="Also write the height along a line from one pixel to another, NAME_profile.csv; the form is taken off.",
)
@option(
    "--image",
    "image_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FUSED",
    section="Input",
    help="The all-in-focus picture of this height.",
)
@option(
    "--nearest",
    type=click.Choice(["high", "low"]),
    default="high",
    show_default=True,
    section=_VIEWS,
    help="End of the height that is near the lens.",
)
@option(
    "--refocus", type=float, metavar="HEIGHT", section=_VIEWS, help="Write the picture focused there, NAME_refocus."
)
@option(
    "--aperture",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    metavar="PX",
    section=_VIEWS,
    help="Growth of the disc's radius for each unit of height away from --refocus; larger is shallower.",
)
@option("--anaglyph", is_flag=True, section=_VIEWS, help="Write a picture for red and cyan glasses, NAME_anaglyph.png.")
@option("--stereo", is_flag=True, section=_VIEWS, help="Write a pair for parallel eyes, NAME_stereo.png.")
@option(
    "--rock",
    type=click.Choice(["gif", "mp4"]),
    section=_VIEWS,
    help="Write an animation that rocks from side to side, NAME_rock; mp4 needs OpenCV.",
)
@option(
    "--angle",
    type=click.FloatRange(0, 60),
    default=8.0,
    show_default=True,
    metavar="DEGREES",
    section=_VIEWS,
    help="Between the eyes of a pair, and of the animation to either side.",
)
@option("--out", type=click.Path(path_type=Path), metavar="DIR", section=OUTPUT_SECTION, help="Folder for the results.")
@run_options
def surface_command(height_file: Path, image_file: Path | None, out: Path | None, **options: Any) -> None:
    """Measure a height map as a surface, and show it through any lens and from any side.

    HEIGHT.tif is what `defocus fuse --height` wrote. Prints the roughness Sa, Sq, Sz, Ssk and Sku after ISO 25178 in
    its unit.
    """
    where = {name: options.pop(name) for name in ("device", "quiet", "as_json")}
    wanted = [name for name in ("refocus", "anaglyph", "stereo", "rock") if options[name] not in (None, False)]
    if wanted and image_file is None:
        raise InputError(f"--{wanted[0]}", "it without a picture", "it together with --image")
    given = [height_file, *([image_file] if image_file else [])]
    folder = height_file.parent if out is None else out
    with running("surface", given, [folder], dict(options), **where) as run:
        height = read_map(height_file)
        stem = folder / height_file.stem
        _measure(run, stem, height, options)
        if image_file is not None:
            _show(run, folder / image_file.stem, read_image(image_file), height, options)


def _measure(run: Run, stem: Path, height: NDArray[np.float32], options: dict[str, Any]) -> None:
    from defocus_backend.surface.form import level_height
    from defocus_backend.surface.profile import height_profile
    from defocus_backend.surface.roughness import roughness, texture

    size = options["pixel_size"] or 1.0
    how = {
        "form": options["form"],
        "s_filter": options["s_filter"],
        "l_filter": options["l_filter"],
        "pixel_size": size,
    }
    found = roughness(height, **how)
    run.facts["roughness"] = asdict(found)
    run.tell(
        f"Sa {found.sa:.4g}, Sq {found.sq:.4g}, Sz {found.sz:.4g}, Ssk {found.ssk:.3g}, Sku {found.sku:.3g}; "
        f"{found.known:.0%} of the surface is known"
    )
    if options["level"]:
        run.add(
            "level", stem.with_name(f"{stem.name}_level.tif"), encode_map(texture(height, **how), description="height")
        )
    if options["profile"]:
        ends = options["profile"]
        line = height_profile(level_height(height, options["form"]), ends[:2], ends[2:], pixel_size=size)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["distance", "height"])
        writer.writerows(
            [f"{d:.6g}", f"{h:.6g}" if np.isfinite(h) else ""] for d, h in zip(line.distance, line.height, strict=True)
        )
        run.add("profile", stem.with_name(f"{stem.name}_profile.csv"), text.getvalue().encode())


def _show(run: Run, stem: Path, picture: Picture, height: NDArray[np.float32], options: dict[str, Any]) -> None:
    from defocus_backend.surface import anaglyph, refocus, rocking_views, side_by_side, stereo_pair, write_animation

    near = {"nearest": options["nearest"], "channel_axis": picture.channel_axis}
    if options["refocus"] is not None:
        shallow = refocus(picture.array, height, options["refocus"], aperture=options["aperture"], **near)
        run.add_picture("refocus", stem, shallow, "same", like=picture)
    seen = {**near, "pixel_size": options["pixel_size"] or 1.0}
    if options["anaglyph"] or options["stereo"]:
        pair = stereo_pair(picture.array, height, options["angle"], **seen)
        if options["anaglyph"]:
            run.add("anaglyph", stem.with_name(f"{stem.name}_anaglyph.png"), encode_image(anaglyph(pair), ".png"))
        if options["stereo"]:
            run.add("stereo", stem.with_name(f"{stem.name}_stereo.png"), encode_image(side_by_side(pair), ".png"))
    if options["rock"]:
        path = stem.with_name(f"{stem.name}_rock.{options['rock']}")
        part = run.stage("animation", path)
        made = part.with_name(f"{part.name}.{options['rock']}")
        write_animation(made, rocking_views(picture.array, height, options["angle"], **seen))
        made.replace(part)
