"""No store runs code: only plain numbers by known codecs are read, whatever the release of numcodecs."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from defocus_backend.cli import main
from defocus_backend.errors import DefocusError, FileError, InputError
from defocus_backend.io import open_nd

zarr = pytest.importorskip("zarr")

RNG = np.random.default_rng(0)
AXES = [{"name": name, "type": "space"} for name in "zyx"]


def described(path: str = "0") -> dict[str, Any]:
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    return {"multiscales": [{"axes": AXES, "datasets": [{"path": path, "coordinateTransformations": scale}]}]}


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def store_2(folder: Path, **changes: Any) -> Path:
    """A store of version 2, written by hand."""
    (folder / "0" / "0" / "0").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(json.dumps(described()))
    about = {
        "zarr_format": 2,
        "shape": [1, 4, 5],
        "chunks": [1, 4, 5],
        "dtype": "|u1",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }
    (folder / "0" / ".zarray").write_text(json.dumps(about | changes))
    (folder / "0" / "0" / "0" / "0").write_bytes(bytes(20))
    return folder


def test_a_plain_store_written_by_hand_is_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(np.asarray(open_nd(store_2(tmp_path / "a.zarr"))), np.zeros((1, 4, 5)))


@pytest.mark.parametrize("codec", [{"id": "pickle"}, {"id": "json2"}, {"id": "msgpack2"}, {"id": "vlen-utf8"}])
@pytest.mark.parametrize("dtype", ["|O", "|u1"])
@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_store_whose_payload_would_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: dict[str, str], dtype: str, place: str
) -> None:
    """As with releases of numcodecs before 0.16.6, which decode pickles without being asked to."""
    pickles = pytest.importorskip("numcodecs.pickles")
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    marker = tmp_path / "marker"
    folder = store_2(tmp_path / "a.ome.zarr", dtype=dtype, **{place: [codec] if place == "filters" else codec})
    (folder / "0" / "0" / "0" / "0").write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(FileError, match=r"a\.ome\.zarr"):
        np.asarray(open_nd(folder))
    assert not marker.exists()


@pytest.mark.parametrize("command", ["info", "map", "fuse", "batch"])
@pytest.mark.parametrize("codec", ["pickle", "runs"])
def test_the_decoder_of_a_store_that_runs_code_is_never_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, command: str
) -> None:
    """Whatever numcodecs does: here a codec runs what it is given, as pickles in old releases do and any plugin may."""
    registry = pytest.importorskip("numcodecs.registry")
    abc = pytest.importorskip("numcodecs.abc")
    asked = []

    class Runs(abc.Codec):  # type: ignore[misc, name-defined]
        codec_id = codec

        def encode(self, buf: Any) -> Any:
            return buf

        def decode(self, buf: Any, out: Any = None) -> Any:  # noqa: ARG002
            asked.append(codec)
            return pickle.loads(bytes(buf))

    monkeypatch.setitem(registry.codec_registry, codec, Runs)
    marker = tmp_path / "marker"
    folder = store_2(tmp_path / "in" / "a.ome.zarr", filters=[{"id": codec}])
    payload = pickle.dumps(Payload(marker))
    (folder / "0" / "0" / "0" / "0").write_bytes(payload)
    with contextlib.suppress(Exception):
        np.asarray(zarr.open_array(str(folder / "0"), mode="r")[...])
    if codec == "pickle":  # which this release of zarr refuses by its name; others ask for it
        registry.get_codec({"id": codec}).decode(payload)
    assert asked, "the trap does not work"
    assert marker.exists()
    asked.clear()
    marker.unlink()

    given = tmp_path / "in" if command == "batch" else folder
    out = [] if command == "info" else ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [command, str(given), *out])
    assert result.exit_code != 0
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert asked == []
    assert not marker.exists()


def test_metadata_gathered_in_one_place_cannot_change_what_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickles = pytest.importorskip("numcodecs.pickles")
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    marker, folder = tmp_path / "marker", store_2(tmp_path / "a.zarr")
    attack = json.loads((folder / "0" / ".zarray").read_text()) | {"dtype": "|O", "filters": [{"id": "pickle"}]}
    (folder / ".zmetadata").write_text(
        json.dumps(
            {
                "zarr_consolidated_format": 1,
                "metadata": {".zgroup": {"zarr_format": 2}, ".zattrs": described(), "0/.zarray": attack},
            }
        )
    )
    (folder / "0" / "0" / "0" / "0").write_bytes(pickle.dumps(Payload(marker)))
    with contextlib.suppress(DefocusError):
        np.asarray(open_nd(folder))
    assert not marker.exists()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float64"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", ["default", "none", "blosc", "gzip", "sharded"])
def test_stores_of_other_writers_are_read(tmp_path: Path, dtype: str, version: int, codec: str) -> None:
    """zarr itself writes them."""
    array = (RNG.random((3, 14, 17)) * 100).astype(dtype)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    group.attrs.update(described() if version == 2 else {"ome": {"version": "0.5", **described()}})
    options: dict[str, Any] = {"chunks": (1, 7, 17)}
    if codec == "none":
        options["compressors"] = None
    elif codec == "sharded" and version == 3:
        options["shards"] = (1, 14, 17)
    elif codec in ("blosc", "gzip") and version == 3:
        options["compressors"] = {"blosc": zarr.codecs.BloscCodec, "gzip": zarr.codecs.GzipCodec}[codec]()
    group.create_array("0", shape=array.shape, dtype=array.dtype, **options)[...] = array
    found = open_nd(tmp_path / "a.zarr")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(np.asarray(found), array)


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": [["a", "|O"]]},
        {"dtype": "<U4"},
        {"dtype": "<c16"},
        {"dtype": "<M8[s]"},
        {"dtype": None},
        {"compressor": "blosc", "filters": {}},
        {"compressor": {"id": "unheard_of"}},
        {"filters": [{"id": "pickle"}, {"id": "delta"}]},
        {"shape": [10**9, 4, 5]},
        {"shape": [1, 4]},
        {"shape": "many"},
        {"chunks": [0, 4, 5]},
        {"chunks": [1, 10**7, 10**7]},
    ],
)
def test_metadata_of_another_shape(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(FileError, match=r"a\.zarr"):
        open_nd(store_2(tmp_path / "a.zarr", **changes))[0]


@pytest.mark.parametrize("place", ["../b.zarr/0", "/etc", "..\\0", "", "0/../../0", 7, None])
def test_arrays_lie_within_their_store(tmp_path: Path, place: Any) -> None:
    store_2(tmp_path / "b.zarr")
    folder = store_2(tmp_path / "a.zarr")
    (folder / ".zattrs").write_text(json.dumps(described(place)))
    with pytest.raises(FileError, match=r"a\.zarr"):
        open_nd(folder)


@pytest.mark.parametrize("name", [".zattrs", "0/.zarray"])
def test_json_that_is_nested_too_deeply(tmp_path: Path, name: str) -> None:
    folder = store_2(tmp_path / "a.zarr")
    (folder / name).write_text('{"a":' * 100_000)
    with pytest.raises(FileError, match=r"a\.zarr"):
        open_nd(folder)


@pytest.mark.parametrize("scene", [object(), None, 1.5, -1, "x" * 300, "../b.zarr", float("inf"), float("nan")])
def test_scenes_that_are_not_there(tmp_path: Path, scene: Any) -> None:
    with pytest.raises(InputError, match=r"^scene\b.*a\.zarr"):
        open_nd(store_2(tmp_path / "a.zarr"), scene=scene)


SPACE = [{"name": name, "type": "space"} for name in ("depth", "row", "column")]


@pytest.mark.parametrize(
    ("axes", "order"),
    [
        (SPACE, "ZYX"),
        ([{"name": "depth", "type": "space"}, *({"name": n, "type": "space"} for n in "yx")], "ZYX"),
        ([*({"name": n, "type": "space"} for n in "yx"), {"name": "depth", "type": "space"}], "ZYX"),
        ([{"name": "frame", "type": "time"}, *SPACE[1:]], "TYX"),
        ([{"name": "stain", "type": "channel"}, *SPACE[1:]], "CYX"),
        ([{"name": "channel"}, {"name": "Y"}, {"name": "X"}], "CYX"),
        (["time", "y", "x"], "TYX"),
    ],
)
def test_axes_with_names_of_their_own(tmp_path: Path, axes: list[Any], order: str) -> None:
    """The specification fixes the types of the axes and the order of those of space, and leaves the names free."""
    folder = store_2(tmp_path / "a.zarr")
    attributes = described()
    attributes["multiscales"][0]["axes"] = axes
    (folder / ".zattrs").write_text(json.dumps(attributes))
    assert open_nd(folder).axes == order


@pytest.mark.parametrize(
    "axes",
    [
        [{"name": "angle"}, {"name": "y"}, {"name": "x"}],
        [{"name": "", "type": "angle"}, {"name": "y"}, {"name": "x"}],
        [{"name": "t", "type": "time"}, {"name": "delay", "type": "time"}, {"name": "y"}],
        [{"name": "y"}, {"name": "y"}, {"name": "x"}],
    ],
)
def test_axes_that_are_not_known_or_twice_there(tmp_path: Path, axes: list[Any]) -> None:
    folder = store_2(tmp_path / "a.zarr")
    attributes = described()
    attributes["multiscales"][0]["axes"] = axes
    (folder / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(FileError, match=r"a\.zarr: (has an axis|has the axes)"):
        open_nd(folder)
