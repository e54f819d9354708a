"""Check the metadata of a Zarr array before any of its chunks are read.

A store names the codecs that decode it, and the codec for pickled objects can run arbitrary code. zarr leaves the
choice of codecs to numcodecs, whose releases before 0.16.6 decode pickles. The check here does not depend on the
release.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from defocus_backend.errors import FileError

_CODECS = {
    *("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"),  # compressors
    *("astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize", "shuffle"),  # filters
    *("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"),  # checksums
}
"""Safe codecs of numcodecs, which only convert bytes and numbers."""

_CORE = {"bytes", "transpose", "sharding_indexed", "blosc", "gzip", "zstd", "crc32c"}
"""Codecs of the specification of Zarr 3."""

_TYPES_2 = re.compile(r"\|b1|[<>|][iu][1248]|[<>][f][248]")
_TYPES_3 = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
_LARGEST = 2**20
"""Largest size of the metadata of one array, in bytes."""


def check_array(path: Path, inside: str) -> None:
    """Raise `FileError` unless an array of a store contains numbers in known codecs.

    Parameters
    ----------
    path : Path
        The store.
    inside : str
        Path of the array in it.
    """
    parts = PurePosixPath(inside).parts
    if ".." in parts or PurePosixPath(inside).is_absolute() or "\\" in inside or not inside:
        raise FileError(f"{path}: names the array {inside!r}; expected one within the store")
    folder = path.joinpath(*parts)
    if (folder / "zarr.json").is_file():
        _check_3(path, inside, read_json(folder / "zarr.json"))
    elif (folder / ".zarray").is_file():
        _check_2(path, inside, read_json(folder / ".zarray"))
    else:
        raise FileError(f"{path}: cannot be read, no array {inside!r} in it")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raise `FileError` for anything else."""
    try:
        if path.stat().st_size > _LARGEST:
            raise FileError(f"{path}: cannot be read, over {_LARGEST} bytes of metadata")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: cannot be read, not JSON ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise FileError(f"{path}: cannot be read, not a JSON object")
    return found


def _check_2(path: Path, inside: str, found: dict[str, Any]) -> None:
    dtype = found.get("dtype")
    if not isinstance(dtype, str) or not _TYPES_2.fullmatch(dtype):
        raise FileError(f"{path}: the array {inside!r} holds {_short(dtype)}; expected bool, whole numbers or floats")
    filters = found.get("filters") or []
    codecs = [found.get("compressor"), *(filters if isinstance(filters, list) else [filters])]
    for codec in codecs:
        if codec is not None:
            _check_codec(path, inside, codec.get("id") if isinstance(codec, dict) else codec, _CODECS)
    _check_shape(path, inside, found.get("shape"), found.get("chunks"))


def _check_3(path: Path, inside: str, found: dict[str, Any]) -> None:
    if found.get("node_type") != "array":
        raise FileError(f"{path}: {inside!r} is {_short(found.get('node_type'))}; expected an array")
    dtype = found.get("data_type")
    if not isinstance(dtype, str) or not _TYPES_3.fullmatch(dtype):
        raise FileError(f"{path}: the array {inside!r} holds {_short(dtype)}; expected bool, whole numbers or floats")
    if found.get("storage_transformers"):
        raise FileError(f"{path}: the array {inside!r} has storage transformers; expected none")
    _check_codecs_3(path, inside, found.get("codecs"))
    grid = found.get("chunk_grid")
    chunks = grid.get("configuration", {}) if isinstance(grid, dict) else {}
    _check_shape(path, inside, found.get("shape"), chunks.get("chunk_shape") if isinstance(chunks, dict) else None)


def _check_codecs_3(path: Path, inside: str, codecs: Any, depth: int = 0) -> None:
    if not isinstance(codecs, list) or depth > 3:
        raise FileError(f"{path}: the array {inside!r} names no list of codecs")
    for codec in codecs:
        name = codec.get("name") if isinstance(codec, dict) else codec
        _check_codec(path, inside, name, _CORE | {f"numcodecs.{n}" for n in _CODECS})
        if name == "sharding_indexed":
            inner = codec.get("configuration") if isinstance(codec, dict) else None
            for key in ("codecs", "index_codecs"):
                _check_codecs_3(path, inside, inner.get(key) if isinstance(inner, dict) else None, depth + 1)


def _check_codec(path: Path, inside: str, name: Any, known: set[str]) -> None:
    if not isinstance(name, str) or name not in known:
        raise FileError(
            f"{path}: the array {inside!r} needs the codec {_short(name)}, which is not supported; supported are "
            f"{', '.join(sorted(known))}"
        )


def _check_shape(path: Path, inside: str, shape: Any, chunks: Any) -> None:
    for what, lengths in (("shape", shape), ("chunks", chunks)):
        whole = isinstance(lengths, list) and all(type(n) is int and n >= 0 for n in lengths)
        if not whole or not lengths or (what == "chunks" and (0 in lengths or len(lengths) != len(shape))):
            raise FileError(f"{path}: the array {inside!r} has the {what} {_short(lengths)}; expected lengths")
    if 0 in shape:
        raise FileError(f"{path}: holds an array of {' x '.join(map(str, shape))}; expected pixels")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
