"""DMENet, a network that the paper compares with, run with the published checkpoint of its authors.

Described by J. Lee, S. Lee, S. Cho and S. Lee, "Deep defocus map estimation using domain adaptation", CVPR 2019.
Layers, names and constants are those of the authors' TensorFlow program (github.com/codeslake/DMENet). This package
does not include the weights.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from defocus_backend.arrays import Float64
from defocus_backend.errors import InputError, WeightsError
from defocus_backend.methods import Method

_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of each stage of the encoder (VGG-19)."""
_BLOCKS = 7
"""Residual blocks at full size."""
_MEAN = (103.939, 116.779, 123.68)
"""Mean of blue, green and red over ImageNet, on the scale 0 to 255."""
_MOST_DISC = 15.0
"""Diameter of the circle of confusion in pixels for an output of 1."""
_MULTIPLE = 16
_SLOPE = 0.2
_EPSILON = 1e-5


class _Convolution(nn.Sequential):
    """Convolution over a mirrored border, normalisation and activation; `scopes` are its names in the checkpoint."""

    def __init__(self, inputs: int, outputs: int, side: int, scopes: tuple[str, ...]) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, side)]
        if len(scopes) > 1:
            layers += [nn.BatchNorm2d(outputs, eps=_EPSILON), nn.LeakyReLU(_SLOPE)]
        super().__init__(*layers)
        self.scopes, self._border = scopes, side // 2

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer; a one-pixel border that is mirrored including the edge equals replication."""
        padded = functional.pad(x, (self._border,) * 4, mode="replicate") if self._border else x
        for layer in self:
            padded = layer(padded)
        return padded


class _Residual(nn.Module):
    """Two convolutions with a parallel 1x1 convolution."""

    def __init__(self, number: int) -> None:
        super().__init__()
        first, second, beside = ((f"decoder/u0/c{end}", f"decoder/u0/b{end}") for end in _ends(number))
        self.first, self.second = _Convolution(64, 64, 3, first), _Convolution(64, 64, 3, second)
        self.beside = _Convolution(64, 64, 1, beside)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block; the shape does not change."""
        result: Tensor = self.second(self.first(x)) + self.beside(x)
        return result


def _ends(number: int) -> tuple[str, str, str]:
    """Endings of the names of a residual block's layers."""
    return f"{number}_1", f"{number}_2", f"_res{number}"


class DMENet(nn.Module):
    """Network from RGB ``(1, 3, H, W)`` in 0..1, with sides that are multiples of 16, to blur ``(1, 1, H, W)`` in 0..1.

    The parts that are only used in training (discriminator, sharpness calibration, side outputs) are left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder, channels = nn.ModuleList(), 3
        for stage, (width, count) in enumerate(_STAGES, 1):
            layers: list[nn.Module] = []
            for number in range(1, count + 1):
                layers += [_Convolution(channels, width, 3, (f"encoder/conv{stage}_{number}",)), nn.ReLU()]
                channels = width
            self.encoder.append(nn.Sequential(*layers))
        self.decoder = nn.ModuleList()
        for stage, width in ((3, 256), (2, 128), (1, 64)):
            inputs = (channels + _STAGES[stage][0], width, width)
            parts = (
                _Convolution(n, width, 3, (f"decoder/u{stage}/c{i}", f"decoder/u{stage}/b{i}"))
                for i, n in enumerate(inputs, 1)
            )
            self.decoder.append(nn.Sequential(*parts))
            channels = width
        begin = _Convolution(channels + 64, 64, 3, ("decoder/u0/c_init", "decoder/u0/b_init"))
        self.decoder.append(nn.Sequential(begin, *(_Residual(number) for number in range(_BLOCKS))))
        self.head = nn.Sequential(
            _Convolution(64, 64, 3, ("decoder/uf/c1", "decoder/uf/b1")),
            _Convolution(64, 32, 3, ("decoder/uf/c2", "decoder/uf/b2")),
            _Convolution(32, 1, 3, ("decoder/uf/c3",)),
        )

    def forward(self, rgb: Tensor) -> Tensor:
        """See the class docstring."""
        x = 255 * rgb.flip(1) - rgb.new_tensor(_MEAN)[:, None, None]
        skips = []
        for number, stage in enumerate(self.encoder):
            x = stage(functional.max_pool2d(x, 2) if number else x)
            skips.append(x)
        for stage, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            x = stage(torch.cat([_doubled(x), skip], dim=1))
        return torch.sigmoid(self.head(x))

    def convolutions(self) -> Iterator[_Convolution]:
        """All layers that the checkpoint has values for."""
        return (module for module in self.modules() if isinstance(module, _Convolution))


def _doubled(x: Tensor) -> Tensor:
    """Upsample to twice the size by nearest neighbours with aligned corners, as TensorFlow's ``align_corners``."""
    for axis in (2, 3):
        size = x.shape[axis]
        places = torch.arange(2 * size, dtype=torch.float64, device=x.device) * ((size - 1) / (2 * size - 1))
        x = x.index_select(axis, (places + 0.5).floor().long())
    return x


def load_checkpoint(path: Path) -> DMENet:
    """Load the network with the values of a checkpoint, ``DMENet_BDCS.npz``.

    Raises
    ------
    InputError
        If there is no such file.
    WeightsError
        If it is damaged, or lacks a layer.
    """
    if not path.is_file():
        raise InputError("map_method", f"'dmenet:{path}'", "dmenet:FILE.npz, a file that exists")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"map_method: {path} is damaged or not a checkpoint ({type(error).__name__})") from error
    with torch.device("meta"):
        network = DMENet()
    network.to_empty(device="cpu")
    for layer in network.convolutions():
        found = _values_of(values, layer.scopes[0], path)
        _put(layer[0], {"bias": 1, "weight": 4}, found, layer.scopes[0], path)
        if len(layer.scopes) > 1:
            _put_norm(layer[1], _values_of(values, layer.scopes[1], path), layer.scopes[1], path)
    return network.eval()


def _values_of(values: Mapping[str, NDArray[np.float32]], scope: str, path: Path) -> dict[str, NDArray[np.float32]]:
    """Values of the checkpoint in a scope, by the last part of their names, such as ``W_conv2d:0``."""
    found = {}
    for name, value in values.items():
        head, _, last = name.rpartition("/")
        if f"/{head}".endswith(f"/{scope}"):
            found[last.removesuffix(":0")] = value
    if not found:
        raise WeightsError(f"map_method: {path} has no layer {scope}; expected the checkpoint DMENet_BDCS.npz")
    return found


def _put(
    layer: nn.Module, wanted: Mapping[str, int], found: Mapping[str, NDArray[np.float32]], scope: str, path: Path
) -> None:
    """Copy weight and bias, identified by their number of axes; kernels are (rows, columns, inputs, outputs)."""
    for name, axes in wanted.items():
        target: Tensor = getattr(layer, name)
        fitting = [value for value in found.values() if value.ndim == axes]
        if len(fitting) == 1:
            value = fitting[0].transpose(3, 2, 0, 1) if axes == 4 else fitting[0]
        if len(fitting) != 1 or value.shape != tuple(target.shape):
            raise WeightsError(
                f"map_method: {path}: {scope} does not match; expected a {name} of {tuple(target.shape)}"
            )
        target.data.copy_(torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))


def _put_norm(layer: nn.Module, found: Mapping[str, NDArray[np.float32]], scope: str, path: Path) -> None:
    """Copy the normalisation. That of the authors has no factor; if a checkpoint has one, it is used."""
    names = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var", "gamma": "weight"}
    for name, own in names.items():
        target: Tensor = getattr(layer, own)
        value = found.get(name, np.ones(target.shape, np.float32) if name == "gamma" else None)
        if value is None or value.shape != tuple(target.shape):
            raise WeightsError(f"map_method: {path}: {scope}/{name} is missing or does not match {tuple(target.shape)}")
        target.data.copy_(torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))


def dmenet_method(file: str | Path) -> Method:
    """Create the map method ``dmenet:FILE.npz``; errors as in `load_checkpoint`."""
    path = Path(file)
    if path.suffix.lower() != ".npz":
        raise InputError("map_method", f"'dmenet:{file}'", "dmenet:FILE.npz")
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return _method(str(file), path.resolve(), stamp)


@lru_cache(maxsize=2)
def _method(file: str, path: Path, stamp: int) -> Method:  # noqa: ARG001 stamp
    network = load_checkpoint(path)

    def dmenet_map(rgb: Float64) -> Float64:
        """Return sigma in pixels (H, W) for RGB values 0..255 (H, W, 3)."""
        height, width = rgb.shape[:2]
        missing = [(0, -n % _MULTIPLE) for n in (height, width)]
        padded = np.pad(rgb, [*missing, (0, 0)], mode="symmetric" if min(height, width) >= _MULTIPLE else "edge")
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1) / 255, dtype=np.float32))[None]
            said = network(x)[0, 0, :height, :width].double().numpy()
        return sigma_of(said)

    return Method(
        name=f"dmenet:{file}",
        text="DMENet with its published checkpoint",
        citation="Lee, Lee, Cho and Lee 2019, CVPR",
        home=dmenet_map,
        unit="px",
        colour=True,
    )


def sigma_of(said: Float64) -> Float64:
    """Convert the output of the network, 0 to 1, to sigma in pixels, as in the authors' evaluation."""
    return np.asarray(np.maximum(_MOST_DISC * said - 1, 0) / 2)
