"""The demonstration: the main operations on photographs that come with scikit-image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from defocus_backend.io import Metadata, Picture, encode_image
from defocus_backend.params import FusionParams, ShallowParams, SharpenParams, SigmaParams, SliceMapParams
from defocus_backend.pipeline.run import Listener, Made, Run, made_by, running
from defocus_backend.render import Scale, SheetPanel, draw_contact_sheet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from defocus_backend.synthetic.scenes import FocalStack

T = TypeVar("T")

SLICES = 9
_GAIN = Scale(low=0, high=SharpenParams.max_gain, label="gain", colormap="magma")
_CONFIDENCE = Scale(low=0, high=1, label="confidence (0 to 1)", colormap="cividis")
_WEIGHT = Scale(low=0, high=1, label="weight", colormap="gray")
_INDEX = Scale(low=0, high=SLICES - 1, label="slice", colormap="plasma")


@dataclass
class _Clock:
    """Run times of the steps, in order."""

    rows: list[tuple[str, str, float]]

    def measure(self, step: str, size: tuple[int, ...] | str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        self.rows.append(
            (step, size if isinstance(size, str) else "x".join(map(str, size)), time.perf_counter() - started)
        )
        return result


def make_demo(
    out: str | Path, maps: SigmaParams | None = None, *, device: str = "auto", listener: Listener | None = None
) -> Made:
    """Map, sharpen, blur and fuse photographs that come with scikit-image. Nothing is downloaded.

    Parameters
    ----------
    out : str or Path
        Folder for the results, created if missing.
    maps : SigmaParams or None
        How the blur is estimated.
    device : str
    listener : Listener or None

    Returns
    -------
    Made
        The written files. ``facts["times"]`` lists the steps with size and seconds. ``facts["psnr_db"]`` has the PSNR
        of the fused pictures and of the best slice, relative to the sharp photograph.

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError
    """
    maps, clock, folder = maps or SigmaParams(), _Clock([]), Path(out)
    with running("demo", [], [folder], maps.flat(), device=device, listener=listener) as run:
        panels = [*_single_picture(run, folder, maps, clock), *_stack(run, folder, maps, clock)]
        sheet = clock.measure("contact sheet", f"{len(panels)} panels", lambda: draw_contact_sheet(panels))
        run.add("contact sheet", folder / "contact-sheet.png", sheet)
        run.facts["times"] = [{"step": s, "size": size, "seconds": round(t, 3)} for s, size, t in clock.rows]
    return made_by(run)


def _single_picture(run: Run, out: Path, maps: SigmaParams, clock: _Clock) -> Iterator[SheetPanel]:
    """A photograph with a naturally shallow depth of field: map, sharpen, shallow."""
    from skimage import data

    from defocus_backend.defocus import defocus_map
    from defocus_backend.shallow import shallow_depth_of_field
    from defocus_backend.sharpen import sharpen

    photo: NDArray[np.uint8] = data.chelsea()
    size, stem = photo.shape[:2], out / "cat"
    source = Picture(array=photo, channel_axis=-1, metadata=Metadata(), path=Path("cat.png"))
    device: dict[str, Any] = {"channel_axis": -1, "device": run.device}
    found = clock.measure("defocus map", size, lambda: defocus_map(photo, **maps.arguments(), **device))
    sharp = clock.measure("sharpen", size, lambda: sharpen(photo, found.sigma, **device))
    shallow = clock.measure(
        "shallow depth of field (guided)",
        size,
        lambda: shallow_depth_of_field(photo, found.sigma, **device),
    )
    lens = clock.measure(
        "shallow depth of field (lens)",
        size,
        lambda: shallow_depth_of_field(photo, found.sigma, blur="lens", **device),
    )
    run.add("photo", stem.with_name("cat.png"), encode_image(photo, ".png"))
    run.add_map("sigma", stem, found.sigma, Scale())
    run.add_map("raw", stem, found.raw, Scale())
    run.add_map("confidence", stem, found.confidence, _CONFIDENCE)
    in_focus = found.in_focus(ShallowParams.sharp_below + 1)
    run.add("in focus", stem.with_name("cat_in_focus.png"), encode_image(in_focus, ".png"))
    run.add_picture("sharpened", stem, sharp.image, "same", like=source)
    run.add_map("gain", stem, sharp.gain, _GAIN)
    run.add_picture("shallow", stem, shallow.image, "same", like=source)
    run.add_picture("shallow_lens", stem, lens.image, "same", like=source)
    run.add_map("weights", stem, shallow.weights, _WEIGHT)
    yield SheetPanel("photograph", photo)
    yield SheetPanel("defocus map", found.sigma, Scale())
    yield SheetPanel("confidence of the map", found.confidence, _CONFIDENCE)
    yield SheetPanel("sharpening gain", sharp.gain, _GAIN)
    yield SheetPanel("sharpened", sharp.image)
    yield SheetPanel("weight of the sharp picture", shallow.weights, _WEIGHT)
    yield SheetPanel("shallow depth of field, guided filter", shallow.image)
    yield SheetPanel("shallow depth of field, lens disc", lens.image)


def _stack(run: Run, out: Path, maps: SigmaParams, clock: _Clock) -> Iterator[SheetPanel]:
    """A focal stack rendered from a sharp photograph and its depth: fuse, compare with the truth."""
    from defocus_backend.fusion import fuse
    from defocus_backend.metrics import psnr
    from defocus_backend.synthetic.scenes import focal_stack, garage_scene

    photo, depth = garage_scene(SLICES)
    size, stem = photo.shape[:2], out / "motorcycle"
    stack: FocalStack = clock.measure(
        "render a focal stack", (SLICES, *size), lambda: focal_stack(photo, depth, slices=SLICES)
    )
    results, settings = {}, SliceMapParams(map_method=maps.map_method, weights=maps.weights)
    for blend in FusionParams.describe()["blend"]["choices"]:
        with run.progress(f"fusing {SLICES} slices ({blend})") as progress:
            results[blend] = clock.measure(
                f"fuse ({blend})",
                (SLICES, *size),
                lambda blend=blend, progress=progress: fuse(  # type: ignore[misc]
                    stack.slices,
                    channel_axis=-1,
                    blend=blend,
                    map_settings=settings,
                    device=run.device,
                    progress=progress,
                ),
            )
    fused = results["octaves"]
    best = max(psnr(s, stack.sharp, channel_axis=-1) for s in stack.slices)
    run.facts["psnr_db"] = {"best slice": round(best, 2)} | {
        f"fused ({name})": round(psnr(r.image, stack.sharp, channel_axis=-1), 2) for name, r in results.items()
    }
    source = Picture(array=photo, channel_axis=-1, metadata=Metadata(), path=Path("motorcycle.png"))
    for number, pixels in enumerate(stack.slices):
        run.add("slice", stem.with_name(f"motorcycle_{number}.png"), encode_image(pixels, ".png"))
    run.add("photo", stem.with_name("motorcycle_truth.png"), encode_image(stack.sharp, ".png"))
    run.add_map("depth", stem, stack.depth, _INDEX)
    for name, result in results.items():
        run.add_picture(f"fused_{name}", stem, result.image, "same", like=source)
    run.add_map("index", stem, fused.index, _INDEX)
    run.add_map("sigma", stem, fused.sigma, Scale())
    middle = SLICES // 2
    yield SheetPanel("focal stack: first slice, near", stack.slices[0])
    yield SheetPanel(f"slice {middle}", stack.slices[middle])
    yield SheetPanel("last slice, far", stack.slices[-1])
    yield SheetPanel("true depth", stack.depth, _INDEX)
    yield SheetPanel(f"fused, {run.facts['psnr_db']['fused (octaves)']:.1f} dB", fused.image)
    yield SheetPanel("sharp original", stack.sharp)
    yield SheetPanel("decision map: sharpest slice", fused.index, _INDEX)
    yield SheetPanel("least sigma of all slices", fused.sigma, Scale())
