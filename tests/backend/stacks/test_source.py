"""Every form of a stack is the same series of slices, with one value range, read no more often than needed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from defocus_backend import align_stack, fuse, fuse_nd, open_nd, write_nd
from defocus_backend.errors import InputError
from defocus_backend.io import write_image
from defocus_backend.params import SliceMapParams
from defocus_backend.stacks import FileStack, SliceSource, as_source, open_stack, samples

RNG = np.random.default_rng(0)


@pytest.fixture
def stack() -> np.ndarray:
    """Eleven slices (11, 40, 60) uint16, the sixth brighter than all others."""
    values = RNG.integers(0, 4000, (11, 40, 60)).astype(np.uint16)
    values[5] *= 3
    return values


def files(stack: np.ndarray, folder: Path) -> list[Path]:
    paths = [folder / f"slice_{n}.tif" for n in range(len(stack))]
    for path, values in zip(paths, stack, strict=True):
        write_image(path, values)
    return paths


FORMS: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "array": lambda stack, _: stack,
    "list": lambda stack, _: list(stack),
    "iterator": lambda stack, _: iter(stack),
    "callable": lambda stack, _: lambda: iter(stack),
    "dask": lambda stack, _: pytest.importorskip("dask.array").from_array(stack, chunks=(1, 40, 60)),
    "files": lambda stack, folder: open_stack(files(stack, folder)),
    "pages": lambda stack, folder: open_stack(saved(stack, folder / "pages.tif")),
    "image": lambda stack, folder: open_nd(saved(stack, folder / "stack.ome.tif")),
    "source": lambda stack, _: as_source(stack),
    "reordered": lambda stack, _: as_source(stack[::-1]).select(range(10, -1, -1)),
}


def saved(stack: np.ndarray, path: Path) -> Path:
    if path.name.endswith(".ome.tif"):
        write_nd(path, stack, axes="ZYX")
    else:
        import tifffile

        tifffile.imwrite(path, stack, photometric="minisblack")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_series(stack: np.ndarray, tmp_path: Path, form: str) -> None:
    found = as_source(FORMS[form](stack, tmp_path))
    assert found.shape == stack.shape
    assert (found.dtype, found.axes, found.channel_axis, len(found)) == (stack.dtype, "ZYX", None, 11)
    for number, values in enumerate(found):
        np.testing.assert_array_equal(values, stack[number])
    np.testing.assert_array_equal(found[7, 3:5, 10], stack[7, 3:5, 10])
    np.testing.assert_array_equal(np.asarray(found.rows(5, 20)), stack[:, 5:20])
    np.testing.assert_array_equal(np.asarray(found[2:9:3]), stack[2:9:3])
    np.testing.assert_array_equal(np.asarray(found.select([9, 0]).rows(1, 4)), stack[[9, 0], 1:4])
    expected = as_source(stack).value_range
    ranges = [s.value_range for s in (found, found.rows(0, 3), found.select([0]), found.select([3, 4]).rows(2, 9))]
    assert ranges == [expected] * 4
    assert expected[1] > 9000, "the bright slice is among those that are looked at"


@pytest.mark.parametrize("channel_axis", [-1, 0, 1])
def test_shape_and_axes_say_where_the_channels_are(channel_axis: int) -> None:
    colour = RNG.integers(0, 255, (4, 20, 30, 3), dtype=np.uint8)
    given = np.moveaxis(colour, -1, 1 + channel_axis % 3)
    found = as_source(given, channel_axis=channel_axis)
    assert found.shape == given.shape
    assert (found.plane_shape, found.colours) == ((20, 30), 3)
    assert found.axes == {-1: "ZYXS", 0: "ZSYX", 1: "ZYSX"}[channel_axis]
    image = found.rows(4, 9).image(2)
    np.testing.assert_allclose(image.pixels.numpy() * 255, np.moveaxis(colour[2, 4:9], -1, 0), atol=1e-4)
    np.testing.assert_array_equal(as_source(found).plane(3), given[3])
    with pytest.raises(InputError, match="channel_axis"):
        as_source(found, channel_axis=(channel_axis + 1) % 3)


class Counting:
    """An array that counts the planes that are read of it."""

    def __init__(self, values: np.ndarray, axes: str | None = None) -> None:
        self._values, self.read = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        if axes is not None:
            self.axes = axes

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, key: Any) -> np.ndarray:
        found = self._values[key]
        self.read += int(np.prod(found.shape[:-2]))
        return found.copy()


@pytest.mark.parametrize(
    ("room", "most"),
    [pytest.param(None, 9, id="default"), pytest.param(4 * 64 * 64 * 2, 14, id="room-for-four")],
)
def test_nine_slices_are_read_about_once(
    random_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch, room: int | None, most: int
) -> None:
    if room is not None:
        monkeypatch.setattr(samples, "_KEPT_BYTES", room)
    counting = Counting(RNG.integers(0, 4000, (9, 64, 64)).astype(np.uint16))
    fuse(counting, map_settings=SliceMapParams(weights=random_weights["blurnet"]), device="cpu")
    assert counting.read <= most


def test_channels_are_read_once_after_the_choice_among_them(random_weights: dict[str, Path]) -> None:
    counting = Counting(RNG.integers(0, 4000, (3, 9, 64, 64)).astype(np.uint16), "CZYX")
    fuse_nd(counting, map_settings=SliceMapParams(weights=random_weights["blurnet"]), device="cpu")
    assert counting.read <= 36


def test_an_aligned_stack_keeps_its_range_and_is_fused_by_its_axes(
    random_weights: dict[str, Path], photo: np.ndarray
) -> None:
    slices = [photo[100 + n : 228 + n, 100:228].astype(np.float32) * 20 for n in range(3)]
    source = as_source(slices)
    aligned = align_stack(source, model="translation")
    assert isinstance(aligned, SliceSource)
    assert aligned.shape == (3, *aligned.plane_shape)
    assert aligned.value_range == source.value_range == as_source(np.stack(slices)).value_range
    options: dict[str, Any] = {"map_settings": SliceMapParams(weights=random_weights["blurnet"]), "device": "cpu"}
    expected = fuse(aligned, **options)
    for found in (fuse_nd(aligned, **options), fuse_nd(aligned, axes="ZYX", **options)):
        np.testing.assert_array_equal(found.image, expected.image)
        np.testing.assert_array_equal(found.sigma, expected.sigma)
    np.testing.assert_array_equal(np.asarray(aligned.rows(9, 31)), np.asarray(aligned)[:, 9:31])


def test_where_slices_came_from_is_in_messages(stack: np.ndarray, tmp_path: Path) -> None:
    found = open_stack(files(stack, tmp_path))
    assert isinstance(found, FileStack)
    chosen = found.select([4, 2]).rows(0, 5)
    assert chosen.order == (4, 2)
    assert chosen.label(1) == "stack[2] (slice_2.tif)"
    assert open_stack(saved(stack, tmp_path / "p.tif")).origin(3) == "p.tif, page 3"


def test_missing_pixels_are_those_that_are_masked_or_no_numbers() -> None:
    values = RNG.random((2, 6, 8)).astype(np.float32)
    values[0, 2, 3] = np.nan
    hidden = np.zeros(values.shape, bool)
    hidden[0, 4, 4] = True
    found = as_source(np.ma.MaskedArray(values, hidden))
    missing = found.missing(0)
    assert missing is not None
    assert sorted(zip(*np.nonzero(missing), strict=True)) == [(2, 3), (4, 4)]
    assert found.missing(1) is None


def test_a_source_of_files_can_be_sent_to_another_process(stack: np.ndarray, tmp_path: Path) -> None:
    for given in (open_stack(files(stack, tmp_path)), as_source(list(stack)).select([1, 3])):
        again = pickle.loads(pickle.dumps(given))
        np.testing.assert_array_equal(again.plane(1), given.plane(1))
        assert again.value_range == given.value_range


def test_what_is_no_single_stack_is_refused(stack: np.ndarray) -> None:
    with pytest.raises(InputError, match="fuse_nd"):
        as_source(Counting(np.stack([stack, stack]), "CZYX"))
    with pytest.raises(InputError, match="no slices"):
        as_source(lambda: iter([]))
    with pytest.raises(InputError, match="value_range"):
        as_source(as_source(stack), value_range=(3, 3))
    lengths = iter([3, 2])
    shrinking = as_source(lambda: iter(stack[: next(lengths)]))
    with pytest.raises(InputError, match="later pass"):
        np.asarray(shrinking)
