"""Many stacks from Python."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import defocus_backend as db
from defocus_backend.batch.pools import THREAD_VARIABLES

MakeStack = Callable[..., list[Path]]


@pytest.fixture
def options(random_weights: dict[str, Path]) -> dict[str, Any]:
    """Options of a quick fusion."""
    return {"map_settings": db.SliceMapParams(weights=random_weights["blurnet"])}


@pytest.fixture
def stack() -> np.ndarray:
    """Three slices of noise."""
    return np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)


def test_arrays_files_and_mistakes(
    make_stack: MakeStack, tmp_path: Path, stack: np.ndarray, options: dict[str, Any]
) -> None:
    slices = make_stack(tmp_path / "s")
    stacks = {"array": stack, "files": slices, "gone": [tmp_path / "gone.tif"], "flat": stack[0, 0]}
    counts: list[tuple[int, int, str]] = []
    found = {o.name: o for o in db.fuse_many(stacks, progress=lambda *count: counts.append(count), retry=1, **options)}
    assert counts == [(n, 4, "stacks") for n in (1, 2, 3, 4)]
    array, files = found["array"].fusion, found["files"].fusion
    assert array is not None
    assert files is not None
    np.testing.assert_array_equal(array.index, db.fuse(stack, **options).index)
    np.testing.assert_array_equal(files.image, db.fuse(db.open_stack(slices), **options).image)
    assert files.image.dtype == np.uint16
    assert found["array"].seconds > 0
    assert (found["gone"].fusion, found["gone"].attempts) == (None, 2)
    assert "gone.tif" in found["gone"].error
    assert found["flat"].error.startswith("stack")


def test_an_iterable_is_read_only_as_fast_as_it_is_used(stack: np.ndarray, options: dict[str, Any]) -> None:
    read = 0

    def stacks() -> Iterator[np.ndarray]:
        nonlocal read
        for _ in range(5):
            read += 1
            yield stack

    outcomes = db.fuse_many(stacks(), **options)
    assert read == 0
    assert next(outcomes).name == "0"
    assert read <= 2
    assert [outcome.name for outcome in outcomes] == ["1", "2", "3", "4"]


def test_cancel(stack: np.ndarray, options: dict[str, Any]) -> None:
    outcomes: list[db.Outcome] = []

    def fuse_all() -> None:
        for outcome in db.fuse_many([stack] * 3, cancel=lambda: bool(outcomes), **options):
            outcomes.append(outcome)

    with pytest.raises(db.Cancelled, match="1 of 3 stacks"):
        fuse_all()
    assert [outcome.name for outcome in outcomes] == ["0"]


def test_cancel_acts_within_a_stack(stack: np.ndarray, options: dict[str, Any]) -> None:
    asked = 0

    def cancel() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(db.Cancelled, match=r"of \d+ slices of 0"):
        list(db.fuse_many([stack], cancel=cancel, retry=3, **options))


def test_one_job_computes_with_the_threads_it_is_told(
    stack: np.ndarray, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    before = torch.get_num_threads()
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")  # put back afterwards
    try:
        list(db.fuse_many([stack], threads=1, **options))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[3] / "examples" / "batch.py"
    runpy.run_path(str(path))["main"](jobs=1)
    found = dict(re.findall(r"^(\w+): ([0-9.]+) dB", capsys.readouterr().out, re.M))
    assert set(found) == {"tilted", "stepped", "bump"}
    assert min(map(float, found.values())) > 20


def test_refusals(stack: np.ndarray) -> None:
    with pytest.raises(db.InputError, match="jobs"):
        db.fuse_many([stack], jobs=0)
    with pytest.raises(db.InputError, match=r"^jobs"):
        db.fuse_many([stack], jobs=2, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(db.InputError, match="scheduler"):
        db.fuse_many([stack], scheduler="nonsense://nowhere")
