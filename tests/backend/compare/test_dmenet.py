"""DMENet through the door for map methods: its layers, its checkpoint's names, its unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import defocus_backend as db
from defocus_backend.compare.dmenet import DMENet, _doubled, load_checkpoint, sigma_of
from defocus_backend.methods import MAP_METHODS

VGG19_CONVOLUTIONS = 20_024_384
"""Parameters of the convolutions of VGG-19 (Simonyan and Zisserman 2015, configuration E)."""


def checkpoint(path: Path, *, without: str = "") -> Path:
    """A file with the names and shapes of the authors', and small random values."""
    rng = np.random.default_rng(0)
    values: dict[str, np.ndarray] = {}
    with torch.device("meta"):
        network = DMENet()
    for layer in network.convolutions():
        outputs, inputs, rows, columns = layer[0].weight.shape
        scale = np.float32(np.sqrt(2 / (inputs * rows * columns)))
        scale *= np.float32(1e-4 if layer.scopes[0] == "decoder/uf/c3" else 1)  # else every sigmoid is 0 or 1
        scope = f"main_net/defocus_net/{layer.scopes[0]}"
        values[f"{scope}/W_conv2d:0"] = scale * rng.standard_normal((rows, columns, inputs, outputs), dtype=np.float32)
        values[f"{scope}/b_conv2d:0"] = np.zeros(outputs, np.float32)
        if len(layer.scopes) > 1:
            scope = f"main_net/defocus_net/{layer.scopes[1]}"
            for name, value in (("beta", 0.0), ("moving_mean", 0.0), ("moving_variance", 1.0)):
                values[f"{scope}/{name}:0"] = np.full(outputs, value, np.float32)
    values["main_net/defocus_net/decoder/u4_aux/c1/W_conv2d:0"] = np.zeros((3, 3, 512, 256), np.float32)
    np.savez(path, **{name: value for name, value in values.items() if not without or without not in name})
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("dmenet") / "DMENet_BDCS.npz")


def test_the_layers_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = DMENet()
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count["encoder"] == VGG19_CONVOLUTIONS
    scopes = [scope for layer in network.convolutions() for scope in layer.scopes]
    assert len(set(scopes)) == len(scopes) == 16 + 2 * (3 * 3 + 1 + 3 * 7 + 2) + 1
    assert {"encoder/conv5_4", "decoder/u3/c1", "decoder/u0/b_init", "decoder/u0/c_res6", "decoder/uf/c3"} <= set(
        scopes
    )


def test_values_go_where_their_names_say(stored: Path) -> None:
    network = load_checkpoint(stored)
    with np.load(stored) as values:
        for layer in network.convolutions():
            kernel = values[f"main_net/defocus_net/{layer.scopes[0]}/W_conv2d:0"]
            np.testing.assert_array_equal(layer[0].weight.detach().numpy(), kernel.transpose(3, 2, 0, 1))


def test_doubling_keeps_the_corners() -> None:
    """tf.image.resize_nearest_neighbor(align_corners=True) of 0, 1, 2 to six: round(i * 2 / 5)."""
    row = torch.tensor([0.0, 1.0, 2.0]).reshape(1, 1, 1, 3)
    assert _doubled(row)[0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_sigma_is_that_of_the_authors_evaluation() -> None:
    np.testing.assert_allclose(sigma_of(np.array([0.0, 1 / 15, 0.5, 1.0])), [0, 0, 3.25, 7])


def test_any_size_gives_a_map_in_pixels(stored: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    found = db.defocus_map(picture, channel_axis=-1, map_method=f"dmenet:{stored}", refine=False)
    assert found.unit == "px"
    assert found.sigma.shape == (37, 50)
    assert found.raw.std() > 0
    assert 0 <= found.raw.min() <= found.raw.max() <= 7


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(db.InputError, match="a file that exists"):
        MAP_METHODS["dmenet:nowhere.npz"]
    with pytest.raises(db.InputError, match=r"dmenet:FILE\.npz"):
        MAP_METHODS["dmenet:net.onnx"]
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(db.WeightsError, match="damaged"):
        MAP_METHODS[f"dmenet:{tmp_path / 'a.npz'}"]
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    with pytest.raises(db.WeightsError, match=r"encoder/conv1_1"):
        MAP_METHODS[f"dmenet:{tmp_path / 'b.npz'}"]
