"""Reading and checking of a network in ONNX format before it is run: files, tensors and sizes.

A malicious model can refer to files outside its folder, claim tensors that it does not contain, loop for ever, or use
all of the memory. This module refuses such models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from defocus_backend.errors import DeviceError, InputError, WeightsError
from defocus_backend.io.limits import free_memory, max_pixels

_MOST_BYTES = 2**31 - 1
"""Largest size of a file in this format; larger networks store their weights in separate files."""
_ENDLESS = ("Loop", "Scan")
_GROW = ("ConstantOfShape", "Expand", "Tile", "Resize", "Upsample", "Pad", "Range")
_SHAPES = 1024
"""Tensors with at most this number of elements may define a size, so the memory estimate reads them."""


def read_model(path: Path) -> Any:
    """Read and check a model; weights in separate files are not read.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    InputError
        If the file does not exist, or the package that reads it is missing.
    WeightsError
        If it is damaged, or refused because of its references or claims.
    """
    onnx = import_runtime("onnx")
    if not path.is_file():
        raise InputError("map_method", f"'onnx:{path}'", "onnx:FILE.onnx, a file that exists")
    size, free = path.stat().st_size, free_memory()
    if size > _MOST_BYTES or (free is not None and 2 * size > free):
        raise WeightsError(f"map_method: {path} has {size / 1e9:.3g} GB, more than the format or the memory can hold")
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except Exception as error:  # the parser can raise undocumented exceptions
        raise WeightsError(f"map_method: {path} is damaged or not an ONNX file ({type(error).__name__})") from error
    if not model.graph.node or not model.graph.output:
        raise WeightsError(f"map_method: {path} is damaged or not an ONNX file (it has no network)")
    if model.functions:
        advice = "inline them with onnx.inliner.inline_local_functions"
        raise WeightsError(f"map_method: {path} defines its own functions; {advice}")
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.op_type in _ENDLESS:
                raise WeightsError(f"map_method: {path} has a {node.op_type}, which may never end; export it unrolled")
        for tensor in _tensors(graph):
            _check_tensor(onnx, path, tensor)
    return model


def import_runtime(name: str) -> Any:
    """Import `onnx` or `onnxruntime`; raise `InputError` with advice if it is not installed."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        wanted = "the packages that run it: pip install 'napari-defocus[onnx]'"
        raise InputError("map_method", f"a network in ONNX format without the package {name}", wanted) from error


def check_memory(model: Any, path: Path, shape: tuple[int, ...]) -> None:
    """Raise an error if a value inside the network would not fit in memory for this input shape.

    The sizes are inferred without running the network. `--max-pixels` disables the check, as for pictures.

    Raises
    ------
    DeviceError
        If it does not fit; the message states the size.
    WeightsError
        If the sizes are inconsistent, or if an unbounded size depends on the values of the picture.
    """
    onnx = import_runtime("onnx")
    free = free_memory()
    if max_pixels() is not None or free is None:
        return
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for tensor in bare.graph.initializer:
        if math.prod(tensor.dims) > _SHAPES:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    dims = bare.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, shape, strict=True):
        dim.dim_value = size
    try:
        known = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    except Exception as error:
        raise WeightsError(f"map_method: {path} contradicts itself ({' '.join(str(error).split())[:200]})") from error
    sizes = {value.name: _bytes(onnx, value) for value in (*known.value_info, *known.output)}
    largest = max((size for size in sizes.values() if size is not None), default=0)
    if largest > free:
        needs = f"needs {largest / 1e9:.3g} GB at once for {'x'.join(map(str, shape))}"
        raise DeviceError(f"map_method: {path} {needs}, but {free / 1e9:.3g} GB are free; smaller tiles need less")
    for node in known.node:
        if node.op_type in _GROW and any(sizes.get(name) is None for name in node.output):
            raise WeightsError(
                f"map_method: {path} has a {node.op_type} whose size cannot be known before it runs; export it with "
                "a fixed input size, or set --max-pixels to run it anyway"
            )


def _bytes(onnx: Any, value: Any) -> int | None:
    """Bytes of a value inside the network; None if its shape is not known."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return int(math.prod(max(0, dim.dim_value) for dim in tensor.shape.dim)) * _itemsize(onnx, tensor.elem_type)


def _itemsize(onnx: Any, kind: int) -> int:
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except (KeyError, ValueError, TypeError):
        return 1  # text and types of less than a byte


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and the graphs inside its nodes."""
    waiting = [graph]
    while waiting:
        found = waiting.pop()
        yield found
        for node in found.node:
            for attribute in node.attribute:
                waiting += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _check_tensor(onnx: Any, path: Path, tensor: Any) -> None:
    """Refuse a tensor that claims more values than it contains, or whose values are outside the model's folder."""
    name = tensor.name or "without a name"
    if any(dim < 0 for dim in tensor.dims):
        raise WeightsError(f"map_method: {path} is damaged (tensor {name} has a negative size)")
    claimed = math.prod(tensor.dims) * _itemsize(onnx, tensor.data_type) if tensor.data_type else 0
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        # Typed fields store every element in one or more bytes; types smaller than a byte are packed.
        stored = tensor.ByteSize()
        if math.prod(tensor.dims) > 8 * max(stored, 1):
            raise WeightsError(f"map_method: {path} is damaged (tensor {name} claims {claimed} bytes, holds {stored})")
        return
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, folder = entries.get("location", ""), path.parent.resolve()
    target = (folder / location).resolve()
    if not location or not target.is_relative_to(folder) or not target.is_file():
        raise WeightsError(f"map_method: {path} has weights in {location!r}, which is not a file in its folder")
    try:
        first, length = int(entries.get("offset") or 0), int(entries.get("length") or claimed)
    except ValueError as error:
        raise WeightsError(f"map_method: {path} is damaged (tensor {name} has no place in {location})") from error
    if first < 0 or length < claimed or first + length > target.stat().st_size:
        raise WeightsError(f"map_method: {path} is damaged (tensor {name} ends beyond {location})")
