"""Public functions with arguments of wrong types and values: an answer or one of our errors that says what is wanted.

A sample runs with all tests; ``make fuzz`` runs thousands. A case is named by its seed and number, so that one that
fails can be run again: ``FUZZ_SEED=0 FUZZ_FROM=1234 FUZZ_COUNT=1``.
"""

from __future__ import annotations

import inspect
import os
import random
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import defocus_backend as db

SEED, FIRST, COUNT = (
    int(os.environ.get(f"FUZZ_{name}", default)) for name, default in (("SEED", 0), ("FROM", 0), ("COUNT", 400))
)
SECONDS = 10
pytestmark = pytest.mark.filterwarnings("default")  # of strange numbers; what counts here is what is raised

SHAPE = (40, 36)
RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, SHAPE, dtype=np.uint8)
STACK = RNG.integers(0, 256, (3, *SHAPE), dtype=np.uint8)
MAP = RNG.random(SHAPE).astype(np.float32) * 5
INDEX = RNG.integers(0, 3, SHAPE).astype(np.int32)
BLURRED = [ndimage.gaussian_filter(RNG.random((96, 96)), 1 + 0.5 * abs(n - 4)).astype(np.float32) for n in range(9)]
QUICK: dict[str, Any] = {"map_method": "energy_ratio"}
"""A method that is quick, so that thousands of calls are."""
QUICK_FUSE: dict[str, Any] = {"map_settings": db.SliceMapParams(**QUICK)}


class Odd:
    """An object that is nothing that anybody asks for."""


class Sized:
    """An object that looks like an array to some and is none."""

    shape, dtype, ndim = (2, "x"), "nonsense", 2


def numbered() -> Iterator[np.ndarray]:
    yield from STACK


WRONG: tuple[Callable[[], Any], ...] = (
    *(lambda v=v: v for v in (None, True, -1, 0, 3, 7.5, 1e300, float("nan"), float("inf"), 10**30, 1j)),
    *(lambda v=v: v for v in ("", "x", "x" * 5000, "\0", "Z", "ZYX", b"bytes", "cuda:9", "/", "~", "é\ud800")),
    *(lambda v=v: v for v in ((), (1,), (2, 1), (0, 255), (0.0, float("nan")), ("a", "b"), (None, None), (1, 2, 3))),
    *(lambda v=v: v for v in (slice(None), slice(0, 5), range(3), frozenset({1}), np.float32, len, Odd, Ellipsis)),
    lambda: [],
    lambda: [[]],
    lambda: [[1, 2], [3]],
    lambda: ["a", "b", "c"],
    lambda: [None, None],
    lambda: {},
    lambda: {"a": 1},
    lambda: {1, 2},
    lambda: Odd(),
    lambda: [Odd()],
    lambda: Sized(),
    lambda: iter(()),
    lambda: (n for n in "abc"),
    lambda: Path("nothing.tif"),
    lambda: Path(),
    lambda: np.zeros(0),
    lambda: np.zeros((0, 5)),
    lambda: np.float64(3),
    lambda: np.array(3),
    lambda: np.zeros(5),
    lambda: np.zeros((3, 2, 2, 2, 2)),
    lambda: np.zeros(SHAPE, complex),
    lambda: np.zeros(SHAPE, object),
    lambda: np.full(SHAPE, "x"),
    lambda: np.zeros(SHAPE, "datetime64[s]"),
    lambda: np.zeros(SHAPE, [("a", "u1"), ("b", "f4")]),
    lambda: np.full(SHAPE, np.nan),
    lambda: np.full(SHAPE, np.inf),
    lambda: np.full(SHAPE, -7),
    lambda: np.full(SHAPE, 2**63, np.uint64),
    lambda: np.full(SHAPE, 1e38, np.float32),
    lambda: GRAY,
    lambda: GRAY.T,
    lambda: STACK,
    lambda: np.moveaxis(STACK, 0, -1),
    lambda: MAP,
    lambda: [GRAY, GRAY.astype(float)],
    lambda: [GRAY, GRAY[:9]],
    lambda: np.ma.masked_array(GRAY, GRAY > 99),
    lambda: memoryview(GRAY),
    numbered,
)


def calibration() -> Any:
    from defocus_backend.calibration import ChannelCalibration, DefocusCalibration

    channel = ChannelCalibration(
        name="",
        z0=0.0,
        sigma0=1.0,
        slope_below=1.0,
        slope_above=1.0,
        reach_below=5.0,
        reach_above=5.0,
        sigma_range=(1.0, 6.0),
        error_constant=0.1,
        error_share=0.1,
        pixel_share=0.1,
        residual=0.1,
    )
    return DefocusCalibration(unit="um", pixel_size=0.1, shape=SHAPE, map_method="energy_ratio", channels=(channel,))


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Arguments with which every public function works, by its name."""
    folder = tmp_path_factory.mktemp("right")
    Image.fromarray(GRAY).save(folder / "a.png")
    db.write_map(folder / "map.tif", MAP)
    db.write_nd(folder / "nd.ome.tif", STACK, axes="ZYX")
    known = calibration()
    db.write_calibration(folder / "calibration.json", known)
    fused = db.fuse(STACK, **QUICK_FUSE)
    aligned = db.align_stack(STACK, model="translation")
    network, _ = db.load_network("blurnet")
    card = db.ModelCard(name="n", network="blurnet", description="d")
    image = {"image": GRAY, "sigma": MAP}
    picture, made = [folder / "a.png"], {"out": folder / "made", **QUICK}
    return {
        "AlignParams": {},
        "AlignedStack": {"frames": db.as_source(STACK), "alignment": aligned.alignment},
        "BlendParams": {},
        "DecisionParams": {},
        "MapParams": {},
        "SliceMapParams": {},
        "FileStack": {},
        "FusionParams": {},
        "QualityParams": {},
        "RepairedStack": {"slices": db.as_source(STACK), "bad": GRAY > 250},
        "repair_stack": {"stack": STACK},
        "ShallowParams": {},
        "ShallowRenderer": image,
        "SharpenParams": {},
        "Sharpener": image,
        "SliceSource": {"reader": lambda n, rows: STACK[n, rows], "count": 3},
        "StackPlan": {"image": STACK, "axes": "ZYX"},
        "affected_pixels": {"changed": GRAY > 250},
        "align_stack": {"stack": STACK, "model": "translation"},
        "alignment_needed": {"stack": STACK},
        "apply_alignment": {"stack": STACK, "alignment": aligned.alignment},
        "as_source": {"stack": STACK},
        "FuseFiles": {},
        "MapFiles": {},
        "ShallowFiles": {},
        "SharpenFiles": {},
        "SurfaceFiles": {},
        "autofocus": {"snap": lambda: GRAY, "move": lambda _z: None, "calibration": known, "start": 0.0},
        "best_plane": {"blocks": [np.array([[3.0, 2.0]]), np.array([[1.0, 1.5]]), np.array([[2.0, 3.0]])]},
        "best_slice": {"height": MAP / 5, "slices": 3},
        "calibrate_defocus": {"stack": BLURRED, "z_step": 1.0},
        "coverage": {"fusion": fused, "slices": 3},
        "decision_reach": {},
        "defocus_distance": {"found": db.defocus_map(GRAY, **QUICK), "calibration": known},
        "defocus_map": {"image": GRAY, **QUICK},
        "drift": {"z": [0.0, 0.1, 0.2, 0.4]},
        "focus_quality": {"image": GRAY, **QUICK},
        "fuse": {"stack": STACK, **QUICK_FUSE},
        "fuse_by_index": {"stack": STACK, "index": INDEX},
        "fuse_corrected": {"stack": STACK, "image": fused.image, "index": INDEX, "corrections": INDEX - 1},
        "fuse_files": {"files": 2 * picture, "settings": db.FuseFiles.of(made)},
        "fuse_many": {"stacks": {"a": STACK}, **QUICK_FUSE},
        "fuse_nd": {"stack": STACK, "axes": "ZYX", **QUICK_FUSE},
        "gain_map": {"sigma": MAP},
        "in_focus": {"sigma": MAP},
        "load_network": {"weights": "blurnet"},
        "locate_focus": {"z": [0.0, 1.0, 2.0], "sigma": [2.0, 1.5, 2.0], "calibration": known.channels[0]},
        "map_files": {"files": picture, "settings": db.MapFiles.of(made)},
        "open_nd": {"path": folder / "nd.ome.tif"},
        "open_stack": {"paths": [folder / "a.png", folder / "a.png"]},
        "pack_corrections": {"corrections": INDEX - 1},
        "plane_tilt": {"height": MAP},
        "read_calibration": {"path": folder / "calibration.json"},
        "read_image": {"path": folder / "a.png"},
        "read_map": {"path": folder / "map.tif"},
        "save_network": {"module": network, "path": folder / "w.safetensors", "card": card},
        "shallow_depth_of_field": {**image, "radius": 3, "iterations": 1},
        "shallow_files": {"files": picture, "settings": db.ShallowFiles.of(made)},
        "sharpen_files": {"files": picture, "settings": db.SharpenFiles.of(made)},
        "surface_files": {"height": folder / "map.tif", "settings": db.SurfaceFiles(out=folder / "made")},
        "shallow_weights": {"sigma": MAP},
        "sharpen": image,
        "shipped_weights": {},
        "unpack_corrections": {"text": db.pack_corrections(INDEX - 1)},
        "write_calibration": {"path": folder / "out.json", "calibration": known},
        "write_image": {"path": folder / "out.png", "array": GRAY},
        "write_map": {"path": folder / "out.tif", "values": MAP},
        "write_mesh": {"path": folder / "out.ply", "height": MAP, "image": GRAY},
        "write_nd": {"path": folder / "out.ome.tif", "array": STACK, "axes": "ZYX"},
    }


RESULTS = {
    *("Alignment", "AlignmentNeed", "Autofocus", "BestPlane", "Calibration", "Channel", "ChannelCalibration"),
    *("Corrected", "Coverage", "DefocusCalibration", "DefocusDistance", "DefocusMap", "Drift", "FocusQuality"),
    *("Fusion", "ImageND", "Made", "Metadata", "ModelCard", "ObjectQuality", "Outcome", "Picture", "Plane"),
    *("ShallowDepthOfField", "Sharpened"),
}
"""What functions return: records of values, which check nothing."""


CALLBACKS = {"progress", "cancel", "reader", "snap", "move", "stack", "stacks"}


def options_of(function: Callable[..., Any]) -> list[str]:
    """Names that can be passed by keyword; those of `fuse` where a function hands its options on."""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        names += [n for n in inspect.signature(db.fuse).parameters if n not in names and n != "stack"]
    # A scheduler or more processes would be started, which the tests of batch do.
    return [n for n in names if n not in ("jobs", "scheduler")]


def used(result: Any) -> None:
    """Use what comes lazily as its caller would."""
    if isinstance(result, db.SliceSource):
        result[0]
    elif inspect.isgenerator(result) or isinstance(result, Iterator):
        list(result)


def case(right: dict[str, dict[str, Any]], number: int) -> tuple[str, dict[str, Any]]:
    """A public function and its arguments, one to three of them wrong."""
    draw = random.Random(f"{SEED} {number}")
    names = sorted(name for name in right if options_of(getattr(db, name)))
    name = names[number % len(names)]
    arguments = dict(right[name])
    known = options_of(getattr(db, name))
    for option in draw.sample(known, min(len(known), draw.choice((1, 1, 1, 2, 3)))):
        value = draw.choice(WRONG)()
        # What a caller's own function raises is the caller's, so that those stay as they are.
        arguments[option] = None if option in CALLBACKS and callable(value) else value
    missing = [
        p.name
        for p in inspect.signature(getattr(db, name)).parameters.values()
        if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in arguments
    ]
    return name, arguments | {n: draw.choice(WRONG)() for n in missing}


def failure(name: str, arguments: dict[str, Any]) -> str | None:
    """What is wrong with how a call ended; None if nothing is."""
    started = time.process_time()  # not by the clock: others may use the processor
    try:
        used(getattr(db, name)(**arguments))
    except db.DefocusError as error:
        if "\n" in str(error):
            return f"a message of several lines: {error}"
        if len(str(error)) > 1000:
            return f"a message of {len(str(error))} characters: {str(error)[:200]}"
    except Exception as error:
        return "".join(traceback.format_exception(error)[-3:])
    spent = time.process_time() - started
    return f"{spent:.0f} s" if spent > SECONDS else None


def test_every_public_function_is_called(right: dict[str, dict[str, Any]]) -> None:
    names = {
        name
        for name in db.__all__
        if callable(getattr(db, name)) and not (inspect.isclass(getattr(db, name)) and name.endswith(("Error", "led")))
    }
    assert names - {"Cancelled"} == set(right) | RESULTS


def test_right_arguments_work(right: dict[str, dict[str, Any]]) -> None:
    """Else wrong ones would test nothing but the first refusal."""
    for name, arguments in right.items():
        if name != "FileStack":  # made by `open_stack`
            used(getattr(db, name)(**arguments))


def test_wrong_arguments_end_in_an_answer_or_in_our_error(
    right: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failed = {}
    for number in range(FIRST, FIRST + COUNT):
        name, arguments = case(right, number)
        wrong = failure(name, arguments)
        if wrong is not None:
            failed[number] = (name, wrong)
    told = "\n".join(f"{number}: {name}\n{wrong}" for number, (name, wrong) in failed.items())
    assert not failed, f"{len(failed)} of {COUNT} cases, seed {SEED}\n{told}"
