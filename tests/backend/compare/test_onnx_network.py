"""Networks of others in ONNX format: the map they give, tile by tile, and what is refused."""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

import defocus_backend as db  # noqa: E402
from defocus_backend.compare import onnx_model  # noqa: E402
from defocus_backend.compare.maps import map_with  # noqa: E402
from defocus_backend.errors import DeviceError, InputError, WeightsError  # noqa: E402
from defocus_backend.evaluation.benchmark import make_candidate  # noqa: E402
from defocus_backend.luma import LUMA  # noqa: E402
from defocus_backend.methods import MAP_METHODS  # noqa: E402
from defocus_backend.params import SigmaParams  # noqa: E402

GRAY = {"channels": "gray", "unit": "px"}


def export(folder: Path, module: nn.Module, sidecar: dict[str, Any] | None, *, channels: int = 1, side: int = 0) -> str:
    """Write a torch module as ONNX, for any size or one, with its sidecar, and return the name of the method."""
    path = folder / "net.onnx"
    axes = None if side else {"x": {2: "h", 3: "w"}, "y": {2: "h2", 3: "w2"}}
    old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the new exporter needs a package of its own
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, channels, side or 32, side or 32),),
            str(path),
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
            **old,
        )
    if sidecar is not None:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    return f"onnx:{path}"


def mean_filter(channels: int, size: int) -> nn.Conv2d:
    """Mean over a square and over the channels, with zeros beyond the border as exported networks have them."""
    layer = nn.Conv2d(channels, 1, size, padding=size // 2, bias=False)
    nn.init.constant_(layer.weight, 1 / (channels * size * size))
    return layer


class Strided(nn.Module):
    """A network of stride 4 whose map is a quarter of the image a side."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(4, 1, 3, stride=2, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x)
        return found


def graph(nodes: list[Any], *, inputs: Any = (1, 1, "h", "w"), tensors: Any = (), output: Any = None) -> Any:
    """A model with the input x and the output y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], list(tensors)), opset_imports=[helper.make_opsetid("", 13)]
    )
    model.ir_version = 8
    return model


def save(folder: Path, model: Any, sidecar: dict[str, Any] | None = None) -> str:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    path.with_suffix(".json").write_text(json.dumps(sidecar or GRAY))
    return f"onnx:{path}"


# --- the map ---


def test_the_map_is_that_of_the_network_also_at_the_border(tmp_path: Path, photo: np.ndarray) -> None:
    """Zeros that a network adds beyond the border stay outside: the image is mirrored there first."""
    name = export(tmp_path, mean_filter(1, 5), GRAY | {"scale": 10, "offset": 1, "halo": 2})
    found = db.defocus_map(photo[:70, :90], map_method=name, refine=False)
    expected = 1 + 10 * ndimage.uniform_filter(photo[:70, :90] / 255, 5, mode="reflect")
    np.testing.assert_allclose(found.raw, expected, atol=1e-4)
    assert found.unit == "px"
    assert np.isnan(found.deviation).all()
    assert found.confidence.min() >= 0


@pytest.mark.parametrize("shape", [(300, 517), (33, 257), (1, 1)])
def test_tiles_do_not_change_the_map(tmp_path: Path, shape: tuple[int, int]) -> None:
    """With the stride and the receptive field of the network: 5 + 2 * 2 pixels, and those of the interpolation."""
    name = export(tmp_path, Strided(), {"channels": "gray", "unit": "relative", "halo": 16, "multiple_of": 4})
    picture = np.random.default_rng(0).uniform(0, 255, shape)
    whole, tiled = (db.defocus_map(picture, map_method=name, refine=False, tile=n).raw for n in (4096, 256))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert whole.shape == shape


def test_a_network_of_fixed_size_reads_an_image_of_any_size(tmp_path: Path, photo: np.ndarray) -> None:
    free = export(tmp_path, Strided(), {"channels": "gray", "unit": "relative", "halo": 16, "multiple_of": 4})
    expected = map_with(free, photo)
    (tmp_path / "fixed").mkdir()
    fixed = export(tmp_path / "fixed", Strided(), json.loads((tmp_path / "net.json").read_text()), side=96)
    np.testing.assert_allclose(map_with(fixed, photo), expected, atol=1e-5)


def test_without_a_halo_the_whole_image_is_read_at_once(tmp_path: Path) -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3), keepdim=True) + 0 * x

    name = export(tmp_path, Mean(), {"channels": "gray", "unit": "relative"})
    picture = np.zeros((600, 300), np.uint8)
    picture[:300] = 255
    np.testing.assert_allclose(db.defocus_map(picture, map_method=name, refine=False, tile=256).raw, 0.5, atol=1e-4)


def test_range_mean_and_deviation_are_those_of_the_sidecar(tmp_path: Path) -> None:
    """RGB in the sidecar's order: each channel is scaled, its mean subtracted, divided."""
    weight = nn.Conv2d(3, 1, 1, bias=False)
    weight.weight.data[:] = torch.tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    colours = np.random.default_rng(1).uniform(0, 1, (40, 50, 3))
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([2.0, 4.0, 5.0])
    card = {"channels": "bgr", "unit": "relative", "input_range": [-1, 1], "mean": [*mean], "std": [*std]}
    name = export(tmp_path, weight, card, channels=3)
    expected = ((2 * colours[..., ::-1] - 1 - mean) / std) @ [1, 10, 100]
    found = db.defocus_map(colours, channel_axis=-1, map_method=name, refine=False, value_range=(0, 1))
    np.testing.assert_allclose(found.raw, expected, rtol=1e-4, atol=1e-3)
    gray = db.defocus_map(colours @ np.array(LUMA), map_method=name, refine=False, value_range=(0, 1))
    np.testing.assert_allclose(gray.raw, ((2 * (colours @ LUMA) - 1)[..., None] - mean) / std @ [1, 10, 100], atol=1e-3)


def test_one_output_and_one_channel_are_chosen(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Concat", ["x", "x2"], ["y"], axis=1),
        helper.make_node("Add", ["x", "x"], ["x2"]),
        helper.make_node("Identity", ["x"], ["z"]),
    ]
    model = graph([nodes[1], nodes[0], nodes[2]])
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    picture = np.full((8, 8), 51.0)
    name = save(tmp_path, model)
    with pytest.raises(InputError, match=r"several outputs; expected in its sidecar output: y, z"):
        map_with(name, picture)
    name = save(tmp_path, model, GRAY | {"output": "y"})
    with pytest.raises(InputError, match=r"output_channel, 0 to 1"):
        map_with(name, picture)
    assert map_with(save(tmp_path, model, GRAY | {"output": "y", "output_channel": 1}), picture) == pytest.approx(0.4)


def test_everything_takes_it_where_it_takes_a_method(tmp_path: Path, photo: np.ndarray) -> None:
    """Maps in pixels sharpen, fuse and are measured; the benchmark has them; those without a unit are refused there."""
    name = export(tmp_path, mean_filter(1, 5), GRAY | {"scale": 3, "halo": 2, "text": "a mean"})
    crop = photo[:64, :64]
    assert MAP_METHODS[name].text == "a mean"
    assert db.focus_quality(crop, map_method=name).sigma_median > 0
    fused = db.fuse([crop, crop], map_settings=db.SliceMapParams(map_method=name))
    assert fused.image.shape == crop.shape
    assert set(make_candidate(name).maps(crop)) == {"raw", "refined"}
    relative = export(tmp_path, mean_filter(1, 5), {"channels": "gray", "unit": "relative"})
    with pytest.raises(InputError, match=r"map_method: got 'onnx:.*net.onnx'; expected one of pixelnet.*px"):
        SigmaParams(map_method=relative)


def test_commands_take_it_and_name_the_flag_where_it_does_not_fit(tmp_path: Path, photo: np.ndarray) -> None:
    from click.testing import CliRunner

    from defocus_backend.cli import main

    picture, out = tmp_path / "photo.png", tmp_path / "out"
    db.write_image(picture, photo[:64, :64])
    name = export(tmp_path, mean_filter(1, 5), GRAY | {"scale": 8, "halo": 2})

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, [*arguments, "--map-method", name, "--out", str(out)])

    assert run("map", str(picture), "--no-refine").exit_code == 0
    expected = 8 * ndimage.uniform_filter(photo[:64, :64] / 255, 5, mode="reflect")
    np.testing.assert_allclose(db.io.read_map(out / "photo_sigma.tif"), expected, atol=1e-3)
    assert run("fuse", str(picture), str(picture)).exit_code == 0
    export(tmp_path, mean_filter(1, 5), {"channels": "gray", "unit": "relative"})
    assert run("map", str(picture)).exit_code == 0
    assert (out / "photo_blur.tif").exists()
    refused = run("fuse", str(picture), str(picture))
    assert refused.exit_code == 2
    assert "--map-method: got 'onnx:" in refused.output
    assert "onnx:FILE.onnx in px" in refused.output
    assert "onnx:FILE.onnx" in CliRunner().invoke(main, ["map", "--help"]).output


def test_a_batch_notices_another_network(tmp_path: Path) -> None:
    from defocus_backend.batch.job import Job

    name = save(tmp_path, graph([helper.make_node("Identity", ["x"], ["y"])]))
    job = Job("a", (tmp_path / "net.onnx",), options={"map_method": name})
    prints = {job.fingerprint("1")}
    (tmp_path / "net.json").write_text(json.dumps(GRAY | {"scale": 2}))
    prints.add(job.fingerprint("1"))
    assert len(prints) == 2


# --- refusals ---


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"unit": "px"}, "channels is none"),
        (GRAY | {"unit": "mm"}, "unit is 'mm'; expected one of px, relative"),
        (GRAY | {"means": 0}, "means is an unknown option; expected mean?"),
        (GRAY | {"mean": [1, 2]}, r"mean is \[1.0, 2.0\]; expected 1 or 1 numbers"),
        (GRAY | {"std": 0}, "std is"),
        (GRAY | {"scale": 0}, "scale is 0"),
        (GRAY | {"scale": float("nan")}, "scale is nan; expected a finite number"),
        (GRAY | {"input_range": [1, 0]}, "black below white"),
        (GRAY | {"halo": -1}, "halo is -1; expected a whole number"),
        (GRAY | {"multiple_of": 10**9}, "multiple_of is"),
        (GRAY | {"output": "none"}, "no output 'none'; expected in its sidecar output: y"),
        (GRAY | {"channels": "rgb"}, "1 channels .* expected 3 channels"),
        ([1], "not a JSON object"),
    ],
)
def test_a_wrong_sidecar_is_refused_by_its_key(tmp_path: Path, card: Any, message: str) -> None:
    name = save(tmp_path, graph([helper.make_node("Identity", ["x"], ["y"])]))
    (tmp_path / "net.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=message):
        map_with(name, np.zeros((8, 8)))


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="a file that exists"):
        map_with(f"onnx:{tmp_path / 'none.onnx'}", np.zeros((8, 8)))
    with pytest.raises(InputError, match=r"expected onnx:FILE.onnx"):
        map_with(f"onnx:{tmp_path / 'net.pt'}", np.zeros((8, 8)))
    name = save(tmp_path, graph([helper.make_node("Identity", ["x"], ["y"])]))
    (tmp_path / "net.json").unlink()
    with pytest.raises(InputError, match=r"without net.json; expected a sidecar beside it"):
        map_with(name, np.zeros((8, 8)))
    save(tmp_path, graph([helper.make_node("Identity", ["x"], ["y"])]), GRAY | {"text": "again"})
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"without the package onnxruntime; .* pip install 'napari-defocus\[onnx\]'"):
        map_with(name, np.zeros((8, 8)))


def test_an_output_that_is_no_map_is_refused(tmp_path: Path) -> None:
    for node in (
        helper.make_node("GlobalAveragePool", ["x"], ["y"]),  # 1x1 of 24x16
        helper.make_node("Flatten", ["x"], ["y"]),
    ):
        with pytest.raises(InputError, match="expected a map of 24x16 px"):
            map_with(save(tmp_path, graph([node])), np.zeros((16, 24)))
    with pytest.raises(InputError, match="not finite"):
        map_with(save(tmp_path, graph([helper.make_node("Log", ["x"], ["y"])])), np.zeros((8, 8)))


def tensor_outside(location: str, length: int = 4) -> Any:
    """A tensor whose values lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def test_weights_beside_the_model_are_read_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for place in (tmp_path / "secret", tmp_path / "in" / "weights"):
        place.write_bytes(np.float32(2).tobytes())
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    add = [helper.make_node("Add", ["x", "w"], ["y"])]
    name = save(tmp_path / "in", graph(add, tensors=[tensor_outside("weights")]))
    assert map_with(name, np.zeros((4, 4))) == pytest.approx(2)
    for where in ("../secret", str(tmp_path / "secret"), "link", "", "absent"):
        with pytest.raises(WeightsError, match="not a file in its folder"):
            map_with(save(tmp_path / "in", graph(add, tensors=[tensor_outside(where)])), np.zeros((4, 4)))
    with pytest.raises(WeightsError, match="ends beyond weights"):
        map_with(save(tmp_path / "in", graph(add, tensors=[tensor_outside("weights", 400)])), np.zeros((4, 4)))


def test_a_bomb_does_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that claims what it does not hold; a few bytes that ask for a petabyte; a loop."""
    hollow = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[10**6, 10**6])
    with pytest.raises(WeightsError, match="claims"):
        map_with(
            save(tmp_path, graph([helper.make_node("Add", ["x", "w"], ["y"])], tensors=[hollow])), np.zeros((4, 4))
        )
    size = helper.make_tensor("s", TensorProto.INT64, [2], [10**8, 10**7])
    grown = [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0)]
    bomb = graph([*grown, helper.make_node("Add", ["x", "r"], ["y"])], tensors=[size])
    with pytest.raises(DeviceError, match=r"4e\+06 GB at once"):
        map_with(save(tmp_path, bomb), np.zeros((4, 4)))
    hidden = [
        helper.make_node("NonZero", ["x"], ["n"]),
        helper.make_node("ReduceMax", ["n"], ["m"], axes=[1], keepdims=0),
        helper.make_node("ConstantOfShape", ["m"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    with pytest.raises(WeightsError, match="ConstantOfShape whose size cannot be known"):
        map_with(save(tmp_path, graph(hidden)), np.ones((4, 4)))
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])],
        "b",
        [helper.make_tensor_value_info(n, t, []) for n, t in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )
    loop = [helper.make_node("Loop", ["", ""], [], body=body), helper.make_node("Identity", ["x"], ["y"])]
    with pytest.raises(WeightsError, match="Loop, which may never end"):
        map_with(save(tmp_path, graph(loop)), np.zeros((4, 4)))
    monkeypatch.setattr(onnx_model, "_MOST_BYTES", 10)
    with pytest.raises(WeightsError, match="more than the format"):
        map_with(save(tmp_path, bomb), np.zeros((4, 4)))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_ends_in_our_error(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    name = export(tmp_path, Strided(), {"channels": "gray", "unit": "relative"})
    data = bytearray((tmp_path / "net.onnx").read_bytes())
    if seed % 3 == 0:
        data = data[: rng.integers(len(data))]
    for place in rng.integers(0, max(len(data), 1), 8 if len(data) else 0):
        data[place] = rng.integers(256)
    (tmp_path / "net.onnx").write_bytes(bytes(data))
    try:
        found = map_with(name, np.random.default_rng(0).uniform(0, 255, (32, 32)))
    except db.DefocusError:
        return
    assert np.isfinite(found).all()
