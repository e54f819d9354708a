"""Shipped and user-made weights, as safetensors. Shipped files are checked against their model cards.

A model card is a JSON file beside the weights: description, training recipe and scores.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.classifier.networks import LEVELS, NETWORKS, channels_last, fold_batch_norm
from defocus_backend.device import resolve_device
from defocus_backend.errors import FileError, InputError, WeightsError

FORMAT = "napari-defocus 1"
"""Format name in the header of every weights file of this project."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Description of one set of weights.

    Attributes
    ----------
    name : str
        Name under which the weights are chosen.
    network : str
        Architecture, a key of `NETWORKS`.
    description : str
        One line for a list.
    recipe : dict
        Training parameters.
    command : str
        Command that repeats the training.
    data : str
        Training data.
    scores : dict
        Scores on held-out photographs, by protocol.
    limits : str
        Known weaknesses.
    sha256 : str
        Hash of the weights file.
    """

    name: str
    network: str
    description: str
    recipe: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    data: str = ""
    scores: dict[str, Any] = field(default_factory=dict)
    limits: str = ""
    sha256: str = ""


def _folder() -> Path:
    return Path(str(resources.files("defocus_backend"))) / "weights"


def shipped_weights() -> dict[str, ModelCard]:
    """Model cards of the weights that come with the package, by name."""
    cards = (_read_card(path) for path in sorted(_folder().glob("*.json")))
    return {card.name: card for card in cards}


def _read_card(path: Path) -> ModelCard:
    try:
        return ModelCard(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"weights: model card {path} cannot be read ({error})") from error


@names_bad_arguments
def load_network(weights: str | Path, *, device: torch.device | str = "cpu") -> tuple[nn.Module, str]:
    """Load a trained network, ready for inference.

    Parameters
    ----------
    weights : str or Path
        Name of shipped weights, or path of a ``.safetensors`` file made by ``defocus train``.
    device : torch.device or str
        Device of the returned network.

    Returns
    -------
    network : nn.Module
        In evaluation mode, float32, batch normalisation folded into the convolutions.
    name : str
        Its architecture, a key of `NETWORKS`.

    Raises
    ------
    InputError, DeviceError
        If the device is invalid or missing.
    WeightsError
        If the file is missing or damaged, was made by another program, or does not match its model card.
    """
    path, card = _locate(weights)
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return _for_inference(path, card.sha256 if card else "", stamp, str(resolve_device(device)))


def load_trainable(weights: str | Path) -> tuple[nn.Module, str]:
    """Load a network for further training, without folding; arguments and errors as in `load_network`."""
    path, card = _locate(weights)
    return _read_network(path, card.sha256 if card else "")


def _locate(weights: str | Path) -> tuple[Path, ModelCard | None]:
    shipped = shipped_weights()
    if isinstance(weights, str) and weights in shipped:
        return _folder() / f"{weights}.safetensors", shipped[weights]
    path = Path(weights)
    if path.suffix != ".safetensors":
        raise InputError("weights", repr(str(weights)), "a .safetensors file or one of " + ", ".join(shipped))
    return path, None


@lru_cache(maxsize=4)
def _for_inference(path: Path, sha256: str, stamp: int, device: str) -> tuple[nn.Module, str]:  # noqa: ARG001 stamp
    module, name = _read_network(path, sha256)
    return channels_last(fold_batch_norm(module).requires_grad_(False), torch.device(device)), name


def _read_network(path: Path, sha256: str) -> tuple[nn.Module, str]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(f"weights: {path} does not exist")
    if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise WeightsError(f"weights: {path} is not the file its model card describes; install the package again")
    try:
        with safe_open(str(path), framework="pt") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"weights: {path} is damaged or not a safetensors file ({error})") from error
    name = header.get("network", "")
    if header.get("format") != FORMAT or name not in NETWORKS:
        raise WeightsError(f"weights: {path} was not made by `defocus train` (network {name!r} is unknown)")
    module = NETWORKS[name].build()
    values = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    if not all(bool(torch.isfinite(v).all()) for v in values.values()):
        raise WeightsError(f"weights: {path} contains values that are not finite")
    try:
        module.load_state_dict(values)
    except RuntimeError as error:
        raise WeightsError(f"weights: {path} does not match the network {name}") from error
    return module, name


@names_bad_arguments
def save_network(module: nn.Module, path: Path, card: ModelCard, *, half_precision: bool = False) -> ModelCard:
    """Write weights and their model card, each completely or not at all.

    Parameters
    ----------
    module : nn.Module
        A trained network (not folded).
    path : Path
        Target ending in ``.safetensors``; the card is written beside it as ``.json``.
    card : ModelCard
        Model card; the hash is filled in here.
    half_precision : bool
        Store float16, which halves the file.

    Returns
    -------
    ModelCard
        The card as written.
    """
    from dataclasses import replace

    from safetensors.torch import save

    from defocus_backend.io.atomic import write_whole

    if path.suffix != ".safetensors":
        raise InputError("out", str(path), "a name ending in .safetensors")
    state = {
        k: (v.half() if half_precision and v.is_floating_point() else v).contiguous()
        for k, v in module.state_dict().items()
    }
    data = save(state, metadata={"format": FORMAT, "network": card.network, "levels": str(LEVELS)})
    card = replace(card, sha256=hashlib.sha256(data).hexdigest())
    try:
        write_whole(path, data)
        write_whole(path.with_suffix(".json"), (json.dumps(asdict(card), indent=2) + "\n").encode())
    except OSError as error:
        raise FileError(f"out: {path} cannot be written ({error})") from error
    return card
