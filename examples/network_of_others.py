"""A network from another source as a map method.

A network that was trained elsewhere can be exported to ONNX and used like any map method. Instead of a trained network,
this example writes one by hand: it compares the energies of two band-pass filters. Its sidecar states that the map has
no unit, so that only its order is meaningful: larger is more blurred. Its weakness is visible where the photograph is
flat.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from onnx import TensorProto, helper
from scipy.ndimage import gaussian_filter
from skimage import data

import defocus_backend as db

OUT = Path(__file__).parent / "output"


def kernel(sigma: float, side: int = 49) -> np.ndarray:
    """Gaussian kernel with a sum of 1."""
    impulse = np.zeros((side, side))
    impulse[side // 2, side // 2] = 1
    return gaussian_filter(impulse, sigma)


def write_network(path: Path) -> None:
    """Write a network for the log ratio of the energies of coarse and fine detail, and its sidecar."""
    bands = np.stack([kernel(1.5) - kernel(3), kernel(4) - kernel(8)])[:, None]
    tensors = {"bands": bands, "window": np.stack([kernel(8)] * 2)[:, None], "signs": np.array([[[[-1.0]], [[1.0]]]])}
    tensors["floor"] = np.array([1e-7])
    nodes = [
        helper.make_node("Conv", ["image", "bands"], ["detail"], pads=[24] * 4),
        helper.make_node("Mul", ["detail", "detail"], ["power"]),
        helper.make_node("Conv", ["power", "window"], ["energy"], pads=[24] * 4, group=2),
        helper.make_node("Add", ["energy", "floor"], ["safe"]),
        helper.make_node("Log", ["safe"], ["log"]),
        helper.make_node("Conv", ["log", "signs"], ["map"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bands",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "height", "width"])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, "height", "width"])],
        [helper.make_tensor(name, TensorProto.FLOAT, t.shape, t.ravel()) for name, t in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    sidecar = {"channels": "gray", "unit": "relative", "halo": 48, "text": "coarse against fine detail"}
    path.with_suffix(".json").write_text(json.dumps(sidecar))


def main(out: Path = OUT) -> None:
    """Write the network, blur a photograph from left to right, and map it with this network and with ours."""
    sharp = data.camera()[100:356, :384].astype(float)
    truth = np.broadcast_to(np.linspace(0, 8, sharp.shape[1]), sharp.shape)
    levels = np.round(truth).astype(int)
    photo = np.choose(levels, [gaussian_filter(sharp, s) if s else sharp for s in range(9)]).astype(np.uint8)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bands.onnx"
        write_network(path)
        theirs = db.defocus_map(photo, map_method=f"onnx:{path}")
    ours = db.defocus_map(photo)

    for name, found in (("network of others", theirs), ("ours", ours)):
        order = np.corrcoef(found.sigma[ours.confidence > 0.5], truth[ours.confidence > 0.5])[0, 1]
        print(f"{name}: correlation with the true blur {order:.2f}, unit {found.unit}")
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.1), layout="constrained")
    panels = (("image", photo), ("network of others [relative]", theirs.sigma), ("ours [px]", ours.sigma))
    for ax, (title, picture) in zip(axes, panels, strict=True):
        shown = ax.imshow(picture, cmap="gray" if title == "image" else "viridis")
        ax.set_title(title)
        ax.axis("off")
        if title != "image":
            figure.colorbar(shown, ax=ax)
    out.mkdir(exist_ok=True)
    figure.savefig(out / "network_of_others.jpg", dpi=90)


if __name__ == "__main__":
    main()
