"""Formats read by bioio: with its TIFF reader, and with an object in place of bioio for what that cannot hold."""

from __future__ import annotations

import pickle
from collections import namedtuple
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import microscopes
from defocus_backend.io.microscopes import open_bioio

Sizes = namedtuple("Sizes", "Z Y X")


@pytest.mark.filterwarnings("ignore")  # those of bioio's own dependencies are not ours
def test_through_bioio_itself(tmp_path: Path) -> None:
    bioio = pytest.importorskip("bioio")
    pytest.importorskip("bioio_tifffile")
    array = np.random.default_rng(0).integers(0, 9999, (2, 3, 4, 13, 17), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "TZCYX"})
    try:
        bioio.BioImage(tmp_path / "a.tif").dask_data.compute()
    except TypeError as error:
        pytest.skip(f"the installed releases of bioio's reader, dask and zarr do not fit together: {error}")
    found = open_bioio(tmp_path / "a.tif", 0)
    assert sorted(found.axes) == sorted("TZCYX")
    assert found.axes.endswith("YX")
    order = ["TZCYX".index(a) for a in found.axes]
    np.testing.assert_array_equal(np.asarray(found), array.transpose(order))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found))[0, 1, 2], np.asarray(found)[0, 1, 2])
    (tmp_path / "b.tif").write_bytes(b"no picture")
    with pytest.raises(FileError, match=r"b\.tif: cannot be read by bioio"):
        open_bioio(tmp_path / "b.tif", 0)


class FakeBioImage:
    """What bioio's documentation promises of a BioImage, for two scenes of a confocal file."""

    scenes = ("overview", "stack")
    array = np.random.default_rng(0).integers(0, 255, (2, 2, 3, 9, 8), dtype=np.uint8)
    channel_names = ("DAPI", "GFP")
    physical_pixel_sizes = Sizes(0.5, 0.1, 0.1)
    time_interval = timedelta(seconds=30)
    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_scene(0)

    def set_scene(self, number: int) -> None:
        self.values = self.array[:1, :, :1] if number == 0 else self.array

    @property
    def dims(self) -> Any:
        return namedtuple("Dims", "order shape")("TCZYX", self.values.shape)

    def get_image_dask_data(self, order: str, **fixed: int) -> Any:
        import dask.array as da

        assert order == "YX"
        return da.from_array(self.values[fixed.get("T", 0), fixed.get("C", 0), fixed.get("Z", 0)])


def test_scenes_channels_and_calibration_of_a_microscope_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask.array")
    monkeypatch.setattr(microscopes, "_open", FakeBioImage)
    overview = open_bioio(tmp_path / "a.czi", 0)
    assert overview.axes == "CYX"  # axes of length one are left out
    found = open_bioio(tmp_path / "a.czi", "stack")
    assert (found.axes, found.shape, found.format) == ("TCZYX", (2, 2, 3, 9, 8), "CZI through bioio")
    np.testing.assert_array_equal(np.asarray(found), FakeBioImage.array)
    assert found.calibration.spacing == {"T": 30, "Z": 0.5, "Y": 0.1, "X": 0.1}
    assert [c.name for c in found.calibration.channels] == ["DAPI", "GFP"]
    with pytest.raises(InputError, match="overview, stack"):
        open_bioio(tmp_path / "a.czi", "film")


def test_a_reader_that_is_missing_is_named(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    (tmp_path / "a.nd2").write_bytes(b"no picture" * 50)
    with pytest.raises(FileError, match="pip install bioio-nd2"):
        open_bioio(tmp_path / "a.nd2", 0)
