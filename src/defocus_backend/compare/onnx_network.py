"""Map method from a network in ONNX format and its sidecar file, run by onnxruntime on the CPU."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from defocus_backend.arrays import BYTE_WHITE, Float64
from defocus_backend.compare.onnx_model import check_memory, import_runtime, read_model
from defocus_backend.compare.onnx_sidecar import Sidecar, read_sidecar
from defocus_backend.errors import DeviceError, InputError, WeightsError
from defocus_backend.methods import Method, Tiling

_DTYPES = {"FLOAT": np.float32, "FLOAT16": np.float16, "DOUBLE": np.float64, "UINT8": np.uint8}
_ONLY_ERRORS = 3


def onnx_method(file: str | Path) -> Method:
    """Create the map method ``onnx:FILE`` for a network in ONNX format.

    Parameters
    ----------
    file : str or Path
        ``FILE.onnx``, with its sidecar ``FILE.json`` beside it, see `Sidecar`.

    Returns
    -------
    Method
        Named ``onnx:FILE``, in the unit of the sidecar.

    Raises
    ------
    InputError
        If a file or a package is missing, or if the sidecar does not match the network.
    WeightsError
        If the model is damaged or refused, see `onnx_model`.
    """
    path = Path(file)
    if path.suffix.lower() != ".onnx":
        raise InputError("map_method", f"'onnx:{file}'", "onnx:FILE.onnx")
    stamps = tuple(one.stat().st_mtime_ns if one.is_file() else 0 for one in (path, path.with_suffix(".json")))
    return _method(str(file), path.resolve(), stamps)


@lru_cache(maxsize=4)
def _method(file: str, path: Path, stamps: tuple[int, ...]) -> Method:  # noqa: ARG001 stamps
    import_runtime("onnxruntime")
    model, sidecar = read_model(path), read_sidecar(path)
    network = OnnxNetwork(path, model, sidecar)
    size = network.fixed_size
    if size is not None and sidecar.halo is None:
        raise InputError("map_method", f"{path}, which takes {size[1]}x{size[0]} px only", "a halo in its sidecar")
    tiling = None
    if sidecar.halo is not None:
        tiling = Tiling(halo=sidecar.halo, multiple=sidecar.multiple_of, size=size)
    return Method(
        name=f"onnx:{file}",
        text=sidecar.text,
        citation=sidecar.citation,
        home=network,
        unit="px" if sidecar.unit == "px" else "relative",
        colour=sidecar.channel_count == 3,
        tiling=tiling,
    )


class OnnxNetwork:
    """A network that turns gray (H, W) or RGB (H, W, 3) values 0..255 into a map (H, W).

    Parameters
    ----------
    path : Path
        File of the network.
    model : onnx.ModelProto
        Model from `read_model`.
    sidecar : Sidecar
    """

    def __init__(self, path: Path, model: Any, sidecar: Sidecar) -> None:
        self._path, self._model, self._sidecar = path, model, sidecar
        self._session: Any = None
        self._checked: set[tuple[int, ...]] = set()
        weights = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in weights]
        if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
            given = f"{len(inputs)} inputs" if len(inputs) != 1 else "an input that has not 4 axes"
            raise InputError("map_method", f"{path} with {given}", f"one input of the axes {sidecar.layout}")
        self._input = inputs[0]
        self._dtype = self._find_dtype()
        self._output = self._find_output()
        batch, channels = self._sizes["N"], self._sizes["C"]
        if batch not in (0, 1) or channels not in (0, sidecar.channel_count):
            given = f"{path} for {channels} channels in batches of {batch or 'any number'}"
            raise InputError("map_method", given, f"{sidecar.channel_count} channels ({sidecar.channels}), one picture")

    @property
    def _sizes(self) -> dict[str, int]:
        """Size of each axis of the input, 0 for any."""
        dims = self._input.type.tensor_type.shape.dim
        return {axis: dim.dim_value for axis, dim in zip(self._sidecar.layout, dims, strict=True)}

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Height and width of the input, if they are fixed."""
        height, width = self._sizes["H"], self._sizes["W"]
        if bool(height) != bool(width):
            raise InputError("map_method", f"{self._path} with one fixed side", "both sides fixed, or neither")
        return (height, width) if height else None

    def __call__(self, picture: Float64) -> Float64:
        """Return the map of a picture whose sides are multiples of `multiple_of` in the sidecar.

        Raises
        ------
        InputError
            If the output is not a map.
        WeightsError, DeviceError
            If the network cannot run.
        """
        height, width = picture.shape[:2]
        step = self._sidecar.multiple_of
        rows, columns = (np.minimum(np.arange(-(-n // step) * step), n - 1) for n in (height, width))
        values = self._prepared(picture[rows[:, None], columns[None, :]])
        found = self._run(values)
        return self._as_map(found, (len(rows), len(columns)))[:height, :width]

    def _prepared(self, picture: Float64) -> NDArray[Any]:
        """The picture in the range, layout and type of the input."""
        card = self._sidecar
        planes = picture[..., None] if picture.ndim == 2 else picture
        if card.channels == "bgr":
            planes = planes[..., ::-1]
        low, high = card.input_range
        values = (planes / BYTE_WHITE * (high - low) + low - np.array(card.mean)) / np.array(card.std)
        if self._dtype is np.uint8:
            values = np.clip(np.rint(values), 0, BYTE_WHITE)
        if card.layout == "NCHW":
            values = np.moveaxis(values, -1, 0)
        return np.ascontiguousarray(values[None], dtype=self._dtype)

    def _run(self, values: NDArray[Any]) -> NDArray[Any]:
        if values.shape not in self._checked:
            check_memory(self._model, self._path, values.shape)
            self._checked.add(values.shape)
        session = self._session or self._open()
        try:
            found: NDArray[Any] = session.run([self._output], {self._input.name: values})[0]
        except Exception as error:  # the errors of the runtime have no common base class
            raise self._failed("cannot run", error) from error
        return found

    def _open(self) -> Any:
        runtime = import_runtime("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = _ONLY_ERRORS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise self._failed("cannot be loaded", error) from error
        return self._session

    def _failed(self, what: str, error: Exception) -> WeightsError | DeviceError:
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, MemoryError) or "allocate" in reason or "bad_alloc" in reason:
            return DeviceError(f"map_method: not enough memory for {self._path}; use smaller tiles")
        return WeightsError(f"map_method: {self._path} {what} ({reason})")

    def _find_dtype(self) -> type[Any]:
        kind = import_runtime("onnx").TensorProto.DataType.Name(self._input.type.tensor_type.elem_type)
        if kind not in _DTYPES:
            raise InputError("map_method", f"{self._path} with an input of {kind}", f"one of {', '.join(_DTYPES)}")
        return _DTYPES[kind]

    def _find_output(self) -> str:
        names, wanted = [value.name for value in self._model.graph.output], self._sidecar.output
        if wanted is None and len(names) == 1:
            return str(names[0])
        if wanted not in names:
            given = "several outputs" if wanted is None else f"no output {wanted!r}"
            raise InputError("map_method", f"{self._path} with {given}", f"in its sidecar output: {', '.join(names)}")
        return str(wanted)

    def _as_map(self, found: NDArray[Any], shape: tuple[int, int]) -> Float64:
        """The output as a map of the input's size, in its unit."""
        card, given = self._sidecar, np.shape(found)
        if not isinstance(found, np.ndarray) or not np.issubdtype(found.dtype, np.number):
            raise InputError("map_method", f"{self._path} with an output that is no array of numbers", "a map")
        if len(given) == 4:
            found = found[0] if card.layout == "NCHW" else np.moveaxis(found[0], -1, 0)
        if np.ndim(found) == 3:
            channel = card.output_channel or 0
            if channel >= len(found) or (card.output_channel is None and len(found) > 1):
                wanted = f"in its sidecar output_channel, 0 to {len(found) - 1}"
                raise InputError("map_method", f"{self._path} with an output {given}", wanted)
            found = found[channel]
        ratios = {side / part for side, part in zip(shape, np.shape(found), strict=False) if part}
        if np.ndim(found) != 2 or len(ratios) != 1 or not (whole := min(ratios)).is_integer():
            wanted = f"a map of {shape[1]}x{shape[0]} px, or of a whole fraction of it"
            raise InputError("map_method", f"{self._path} with an output {given}", wanted)
        if not np.isfinite(found).all():
            raise InputError("map_method", f"{self._path}, whose map is not finite", "a network that returns numbers")
        values = torch.from_numpy(np.asarray(found, np.float64))[None, None]
        if whole > 1:
            values = nn.functional.interpolate(values, size=shape, mode="bilinear", align_corners=False)
        result: Float64 = values[0, 0].numpy() * card.scale + card.offset
        return np.maximum(result, 0) if card.unit == "px" else result
