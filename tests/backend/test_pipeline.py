"""Files to files from Python: what the commands do, with what was written as the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import defocus_backend as db
from defocus_backend.errors import InputError
from defocus_backend.pipeline import Listener
from defocus_backend.pipeline.step import OPERATIONS


@pytest.fixture
def slices(tmp_path: Path, photo: np.ndarray) -> list[Path]:
    """Three pictures of one size, each with another third of a photograph sharp."""
    paths = [tmp_path / f"moss_{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        frame = np.full((72, 96), 128, np.uint8)
        frame[:, 32 * n : 32 * n + 32] = photo[100:172, 100 + 32 * n : 132 + 32 * n]
        db.write_image(path, frame)
    return paths


class Kept(Listener):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, message: str) -> None:
        self.told.append(message)


def test_a_stack_in_files_becomes_pictures_maps_and_a_mesh(slices: list[Path], tmp_path: Path) -> None:
    heard = Kept()
    settings = db.FuseFiles.of(
        {
            "out": tmp_path / "made",
            "map_method": "energy_ratio",
            "align": "off",
            "blend": "pixels",
            "height": True,
            "mesh": str(tmp_path / "made" / "moss.ply"),
        }
    )
    made = db.fuse_files([str(path) for path in slices], settings, listener=heard)
    assert set(made.paths) == set((tmp_path / "made").iterdir())
    kinds = {output.kind for output in made.outputs}
    assert {"fused", "index", "sigma", "height", "height_error", "mesh"} <= kinds
    expected = db.fuse(
        db.open_stack(slices),
        blend="pixels",
        match_exposure=True,
        map_settings=db.SliceMapParams(map_method="energy_ratio"),
    )
    if made.facts["gains"] is not None:
        np.testing.assert_array_equal(db.read_image(tmp_path / "made" / "moss_fused.png").array, expected.image)
    assert made.parameters["blend"] == "pixels"
    assert any("not aligned: align off" in line for line in heard.told)


def test_a_map_is_written_beside_its_picture(slices: list[Path]) -> None:
    before = set(slices[0].parent.iterdir())
    made = db.map_files(slices[:1], db.MapFiles.of({"map_method": "energy_ratio", "raw": True}))
    assert set(made.paths) == set(slices[0].parent.iterdir()) - before
    found = db.defocus_map(db.read_image(slices[0]).array, map_method="energy_ratio")
    np.testing.assert_array_equal(db.read_map(made.paths[0]), found.sigma)


def test_options_that_would_be_ignored_are_refused_by_name(slices: list[Path], tmp_path: Path) -> None:
    for given, name in (
        ({"align": "off", "lock": "scale"}, "lock"),
        ({"method": "mean", "radius": 3}, "radius"),
        ({"method": "mean", "mesh": "a.ply"}, "mesh"),
        ({"z_unit": "um"}, "z_unit"),
        ({"keep_slices": True, "cull": True}, "keep_slices"),
    ):
        with pytest.raises(InputError) as caught:
            db.fuse_files(slices, db.FuseFiles.of({"out": tmp_path / "made", **given}))
        assert caught.value.argument == name
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_of_a_batch_has_a_command_with_its_options(operation: str) -> None:
    import click

    from defocus_backend.cli.batch_config import command_of

    _, settings = OPERATIONS[operation]
    offered = {param.name for param in command_of(operation).params if isinstance(param, click.Option)}
    assert {name for name, about in settings.describe(whole=True).items() if about["shell"]} <= offered
