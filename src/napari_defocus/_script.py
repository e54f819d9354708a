"""A Python script that repeats one run of a widget with the library alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_defocus._layers import Source

_TIFF = (".tif", ".tiff", ".lsm")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def load(name: str, source: Source, index: Sequence[int | slice] = ()) -> list[str]:
    """Lines that read a layer's data from its file, or from one named on the command line."""
    path = source.path or ""
    if path.lower().endswith((*_TIFF, *_PICTURES)):
        # Like napari, which reads TIFF by tifffile: scikit-image takes three slices for colours.
        reader = "imread" if path.lower().endswith(_TIFF) else "read_picture"
        lines = [f"{name} = {reader}({path!r})"]
    else:
        why = f"comes from {path!r}, which this script cannot read" if path else "has no file"
        lines = [
            f"# The layer {source.name!r} {why}: save it as TIFF and name it when you run this.",
            f"{name} = imread(next(files))",
        ]
    if any(not isinstance(i, slice) for i in index):
        lines.append(f"{name} = {name}[{', '.join(_index(i) for i in index)}]")
    return lines


def _index(i: int | slice) -> str:
    if isinstance(i, slice):
        if i.start is None and i.stop is None:
            return ":"
        return f"{'' if i.start is None else i.start}:{'' if i.stop is None else i.stop}"
    return str(i)


def find_range(name: str, source: Source) -> list[str]:
    """Lines that find the value range that all images of a layer share."""
    return [
        f"images = [{name}[index] for index in np.ndindex({name}.shape[:{source.ndim - 2}])]",
        f"value_range = db.as_source(images, channel_axis={source.channel_axis}).value_range",
    ]


def call(target: str, function: str, inputs: Sequence[str], arguments: Mapping[str, Any]) -> list[str]:
    """Lines of one call, an argument a line."""
    shown = [f"    {text}," for text in inputs]
    shown += [f"    {name}={value!r}," for name, value in arguments.items()]
    return [f"{target} = db.{function}(", *shown, ")"]


def script(title: str, body: Sequence[str]) -> str:
    """The whole script."""
    reads_arguments = any("next(files)" in line for line in body)
    head = [f'"""{title}, as run in napari-defocus."""', ""]
    head += ["import sys"] if reads_arguments else []
    pictures = any("read_picture(" in line for line in body)
    head += ["", *(["from skimage.io import imread as read_picture"] if pictures else [])]
    head += ["from tifffile import imread, imwrite", "", "import defocus_backend as db", ""]
    head += ["files = iter(sys.argv[1:])"] if reads_arguments else []
    return "\n".join([*head, *body]) + "\n"


def save(name: str, file: str, *, rgb: bool = False) -> str:
    """A line that writes a result as TIFF, whatever its type."""
    return f"imwrite({file!r}, {name}, photometric={'rgb' if rgb else 'minisblack'!r})"
