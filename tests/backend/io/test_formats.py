"""A format of pictures is one entry in a registry: read, written and offered wherever formats are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import defocus_backend as db
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import FORMATS, READ_SUFFIXES, WRITTEN_SUFFIXES, Format, Metadata, Picture


def read(path: Path) -> Picture:
    return Picture(array=np.load(path), channel_axis=None, metadata=Metadata(), path=path)


def encode(pixels: np.ndarray[Any, Any], metadata: Metadata) -> bytes:  # noqa: ARG001
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    return buffer.getvalue()


def test_a_format_from_outside_is_read_and_written(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert ".npy" not in READ_SUFFIXES
    FORMATS.add(Format(name="NumPy", suffixes=(".npy",), read=read, encode=encode))
    try:
        assert ".npy" in READ_SUFFIXES
        assert ".npy" in WRITTEN_SUFFIXES
        db.write_image(tmp_path / "a.npy", pixels)
        np.testing.assert_array_equal(db.read_image(tmp_path / "a.npy").array, pixels)
        (tmp_path / "b.NPY").write_bytes((tmp_path / "a.npy").read_bytes())
        assert len(db.open_stack([tmp_path / "a.npy", tmp_path / "b.NPY"])) == 2
    finally:
        FORMATS.remove("NumPy")
    with pytest.raises(FileError, match=r"unknown suffix '.npy'; expected one of .png"):
        db.read_image(tmp_path / "a.npy")


def test_a_format_that_is_only_read_is_not_written(tmp_path: Path) -> None:
    assert ".webp" in READ_SUFFIXES
    with pytest.raises(FileError, match="unknown suffix"):
        db.write_image(tmp_path / "a.webp", np.zeros((2, 2), np.uint8))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="format: got 'EXR'; expected one of PNG, JPEG, TIFF"):
        FORMATS["EXR"]
