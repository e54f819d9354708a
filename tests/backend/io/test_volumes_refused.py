"""Images of many dimensions that cannot be written or read: what is said of them, and that nothing is left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import open_nd, write_nd
from defocus_backend.io.volumes import check_axes


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for name, axes, message in (
        ("a.ome.tif", "ZY", "axes"),
        ("a.ome.tif", "PYX", "positions"),
        ("a.png", "ZYX", "unknown suffix"),
        ("a.ome.tif", "QYX", "letters of"),
    ):
        with pytest.raises((InputError, FileError), match=message):
            write_nd(tmp_path / name, np.zeros((2, 5, 6), np.uint8), axes=axes)
    assert list(tmp_path.iterdir()) == []
    for axes in ("", "YY", "ZY"):
        with pytest.raises(InputError, match="axes"):
            check_axes(axes)


def test_missing_libraries_name_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.czi").touch()
    (tmp_path / "a.nef").touch()
    for library, name in (("zarr", "a.zarr"), ("bioio", "a.czi"), ("rawpy", "a.nef")):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(FileError, match=r"pip install \"napari-defocus\[(zarr|bioio|raw)\]"):
            open_nd(tmp_path / name)
