"""Published methods on the command line: each is reached by name and gives what the library gives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from defocus_backend import methods
from defocus_backend.compare import fuse_with, sharpen_with
from defocus_backend.compare.lens import lens_blur
from defocus_backend.compare.maps import map_with
from defocus_backend.io import read_image, read_map, write_image, write_map

Invoke = Callable[..., Result]


@pytest.mark.parametrize(("name", "kind"), [("energy_ratio", "sigma"), ("fdm", "sigma"), ("entropy", "blur")])
def test_map_methods_name_their_files_by_their_unit(defocus: Invoke, slices: list[Path], name: str, kind: str) -> None:
    path = slices[0].with_suffix(".png")
    write_image(path, (read_image(slices[0]).array // 200).astype(np.uint8))
    result = defocus("map", path, "--map-method", name, "--no-refine", "--out", path.parent / "out", weights=False)
    assert result.exit_code == 0, result.output
    assert {p.name for p in (path.parent / "out").iterdir()} == {f"moss_0_{kind}.tif", f"moss_0_{kind}.png"}
    expected = map_with(name, read_image(path).array)
    np.testing.assert_allclose(read_map(path.parent / "out" / f"moss_0_{kind}.tif"), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", methods.SHARPEN_METHODS)
def test_sharpeners_equal_the_library_and_make_no_map(
    defocus: Invoke, picture: Path, tmp_path: Path, name: str
) -> None:
    result = defocus("sharpen", picture, "--method", name, "--out", tmp_path / "out", weights=False)
    assert result.exit_code == 0, result.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"photo_sharpened.png"}
    expected = sharpen_with(name, read_image(picture).array, channel_axis=-1)
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "photo_sharpened.png").array, expected)


@pytest.mark.parametrize("name", ["mean", "gff"])
def test_fusion_methods_equal_the_library_at_16_bits(
    defocus: Invoke, slices: list[Path], tmp_path: Path, name: str
) -> None:
    result = defocus("fuse", *slices, "--method", name, "--out", tmp_path / "out", "--json", weights=False)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["parameters"]["method"] == name
    (written,) = (tmp_path / "out").iterdir()
    expected = fuse_with(name, [read_image(path).array for path in slices])
    np.testing.assert_array_equal(read_image(written).array, expected)


def test_the_lens_takes_a_map_of_any_unit(defocus: Invoke, picture: Path, tmp_path: Path) -> None:
    depth = np.tile(np.linspace(-300, 900, 80, dtype=np.float32), (64, 1))
    write_map(tmp_path / "depth.tif", depth)
    given = ("--map", tmp_path / "depth.tif", "--method", "lens", "--lens-radius", 4, "--focus", 100, "--reach", 500)
    result = defocus("shallow", picture, *given, "--out", tmp_path / "out", weights=False)
    assert result.exit_code == 0, result.output
    expected = lens_blur(read_image(picture).array, depth, focus=100, radius=4, reach=500, channel_axis=-1)
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "photo_shallow.png").array, expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sharpen", "--method", "cas", "--max-gain", 3), "--max-gain"),
        (("sharpen", "--method", "gum", "--map-method", "blurnet"), "--map-method"),
        (("sharpen", "--method", "blurnet"), "--map-method"),
        (("sharpen", "--map-method", "entropy"), "entropy"),
        (("shallow", "--method", "lens", "--blur-above", 3), "--blur-above"),
        (("shallow", "--reach", 3), "--reach"),
        (("map", "--map-method", "entropy", "--threshold", 2), "sharp_below"),
        (("map", "--map-method", "entropy", "--weights", "blurnet"), "weights"),
    ],
)
def test_options_of_another_method_are_refused(
    defocus: Invoke, picture: Path, arguments: tuple[object, ...], said: str
) -> None:
    command, *options = arguments
    result = defocus(command, picture, *options, weights=False)
    assert result.exit_code == 2
    assert said in result.output
    assert [p.name for p in picture.parent.iterdir()] == ["photo.png"]


def test_every_method_is_listed_with_its_citation(defocus: Invoke) -> None:
    shown = re.sub(r"\s+", " ", defocus("methods", weights=False).stdout)
    listed = json.loads(defocus("methods", "--json", weights=False).stdout)["methods"]
    tables = {
        "map": {**methods.NETWORK_METHODS, **methods.MAP_METHODS},
        "sharpen": methods.SHARPEN_METHODS,
        "shallow": methods.SHALLOW_METHODS,
        "fuse": methods.FUSION_METHODS,
    }
    for operation, table in tables.items():
        own = [methods.OWN_METHODS[operation].name] if operation in methods.OWN_METHODS else []
        assert [entry["name"] for entry in listed[operation]] == [*own, *table]
        for method in table.values():
            assert callable(method.function)
            assert method.citation in shown
            assert (method.unit is None) == (operation != "map")
