"""Division of a multi-dimensional image into focal stacks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.stacks.channels import ChannelChoice, focus_weights, sharpest_channel
from defocus_backend.stacks.source import WHOLE, SliceSource

_LETTERS = "PTCZYXS"
_AXES = "P (position), T (time), C (channel), Z (depth), Y (row), X (column), S (colour sample)"


class StackPlan:
    """Division of a multi-dimensional image into focal stacks, with the channels in which focus is estimated.

    Parameters
    ----------
    image : array_like, dask array, zarr array, ImageND or SliceSource
        Any object with a shape that returns planes when it is indexed. Only planes, or rows of planes, are read.
    axes : str or None
        A letter for each axis: P, T, C, Z, Y, X, S (colour samples), in any order. By default the axes of the image, if
        it has them, as those from `defocus_backend.open_nd` and `align_stack`.
    focus_channels : int, str, sequence, mapping or None
        Channels in which focus is estimated: one by number or name, several, or several with weights. By default the
        channel with the most fine detail above its noise in the first stack.
    channel_names : sequence of str or None
        Names of the channels; by default those of the image.

    Attributes
    ----------
    axes : str
    sizes : dict
        Length of each axis by its letter.
    dtype : numpy.dtype
    z_step : float or None
        Distance between neighbouring slices, if the image states it. The height has the same unit.
    loop : str
        Axes along which the stacks are enumerated.
    result_axes, map_axes : str
        Axes of the fused image and of its maps: the given axes without Z, with the plane last.
    channel_axis : int or None
        Axis of the colour samples in one slice: -1, or None.
    focus : dict
        Weights of the channels in which focus is estimated, by number; empty without a channel axis.
    chosen : bool
        Whether these channels were chosen automatically.

    Raises
    ------
    InputError
    """

    @names_bad_arguments
    def __init__(
        self,
        image: Any,
        axes: str | None = None,
        *,
        focus_channels: ChannelChoice | None = None,
        channel_names: Sequence[str | None] | None = None,
    ) -> None:
        try:
            self._image = image if hasattr(image, "shape") and hasattr(image, "__getitem__") else np.asarray(image)
        except (TypeError, ValueError) as error:
            raise InputError("image", type(image).__name__, "an array of numbers") from error
        letters = axes if axes is not None else getattr(image, "axes", None)
        if not isinstance(letters, str):
            raise InputError("axes", repr(letters), f"a letter for each axis: {_AXES}")
        self.axes = letters.upper()
        self.sizes = _checked(self.axes, tuple(self._image.shape))
        self.dtype = np.dtype(self._image.dtype)
        calibration = getattr(image, "calibration", None)
        self.z_step = None if calibration is None else calibration.spacing.get("Z")
        self.loop = "".join(a for a in self.axes if a in "PT")
        self.map_axes = self.loop + "YX"
        samples = "S" if "S" in self.axes else ""
        self.result_axes = "".join(a for a in self.axes if a in "PTC") + "YX" + samples
        self.channel_axis = -1 if samples else None
        names = _names(image) if channel_names is None else channel_names
        self.chosen = focus_channels is None and self.channels > 1
        self.focus: dict[int, float] = {}
        if "C" not in self.axes:
            if focus_channels is not None:
                raise InputError("focus_channels", repr(focus_channels), f"None for axes without C ({self.axes})")
        elif focus_channels is not None:
            self.focus = focus_weights(focus_channels, self.channels, names)
        else:
            self.focus = {self._sharpest() if self.channels > 1 else 0: 1.0}

    @property
    def channels(self) -> int:
        """Number of channels; 1 without a channel axis."""
        return self.sizes.get("C", 1)

    def __len__(self) -> int:
        """Number of focal stacks."""
        return int(np.prod([self.sizes[a] for a in self.loop]))

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """Index of each stack along the axes of `loop`."""
        return itertools.product(*(range(self.sizes[a]) for a in self.loop))

    def result_shape(self, axes: str) -> tuple[int, ...]:
        """Lengths of the given axes."""
        return tuple(self.sizes[a] for a in axes)

    def slices(self, index: tuple[int, ...], channel: int = 0, *, alone: bool = False) -> SliceSource:
        """One channel of one stack. With `alone`, a dask array is computed in the current thread."""
        fixed = dict(zip(self.loop, index, strict=True)) | ({"C": channel} if "C" in self.axes else {})
        # An aligned stack already has a value range.
        known = self._image if isinstance(self._image, SliceSource) else None
        return SliceSource(
            _Planes(self._image, self.axes, fixed, alone),
            self.sizes["Z"],
            channel_axis=self.channel_axis,
            value_range=known,
            layout=self.result_shape("YXS" if "S" in self.axes else "YX"),
            dtype=self.dtype,
        )

    def judged(
        self, index: tuple[int, ...], *, value_range: tuple[float, float] | None = None, alone: bool = False
    ) -> SliceSource:
        """Slices of one stack in which focus is estimated; `value_range` applies to each channel."""
        channels = [self.slices(index, c, alone=alone).on_range(value_range) for c in self.focus or {0: 1.0}]
        if len(channels) == 1:
            return channels[0]
        return SliceSource(
            _Mixed(channels, list(self.focus.values())),
            self.sizes["Z"],
            channel_axis=self.channel_axis,
            value_range=None if value_range is None else (0.0, 1.0),
            layout=channels[0].layout,
            dtype=np.dtype(np.float32),
        )

    def _sharpest(self) -> int:
        index = (0,) * len(self.loop)
        return sharpest_channel(lambda c, z: self.slices(index, c)[z], self.channels, self.sizes["Z"])


def _checked(axes: str, shape: tuple[int, ...]) -> dict[str, int]:
    if any(a not in _LETTERS for a in axes):
        raise InputError("axes", repr(axes), f"letters of {_AXES}")
    if len(set(axes)) != len(axes):
        raise InputError("axes", repr(axes), "each letter once")
    if len(axes) != len(shape):
        raise InputError("axes", f"{axes!r} ({len(axes)} letters)", f"{len(shape)} letters for the shape {shape}")
    for letter, why in (("Z", "along which the focus changes"), ("Y", "the rows"), ("X", "the columns")):
        if letter not in axes:
            raise InputError("axes", f"{axes!r} without {letter}", f"an axis {letter}, {why}")
    sizes = dict(zip(axes, (int(n) for n in shape), strict=True))
    if not all(sizes.values()):
        raise InputError("stack", f"shape {shape}", "at least one pixel along every axis")
    if sizes.get("S", 1) > 4:
        raise InputError("stack", f"{sizes['S']} colour samples (S)", "1 to 4; channels are the axis C")
    return sizes


def _names(image: Any) -> tuple[str | None, ...]:
    calibration = getattr(image, "calibration", None)
    return tuple(channel.name for channel in calibration.channels) if calibration is not None else ()


class _Planes:
    """Planes (H, W) or (H, W, S) of one focal stack, read from the image one at a time."""

    def __init__(self, image: Any, axes: str, fixed: dict[str, int], alone: bool) -> None:
        self._image, self._axes, self._fixed, self._alone = image, axes, fixed, alone
        left = [a for a in axes if a in "YXS"]
        self._turn = [left.index(a) for a in "YXS" if a in left]

    def __call__(self, number: int, rows: slice) -> NDArray[Any]:
        """One slice, or some of its rows."""
        at: dict[str, Any] = {**self._fixed, "Z": number, "Y": rows, "X": WHOLE, "S": WHOLE}
        plane = self._image[tuple(at[a] for a in self._axes)]
        if self._alone and hasattr(plane, "compute"):
            plane = plane.compute(scheduler="synchronous")
        return cast(NDArray[Any], np.asanyarray(plane).transpose(self._turn))  # asanyarray preserves a mask


class _Mixed:
    """Weighted sum of several channels, each rescaled to the unit range."""

    def __init__(self, channels: list[SliceSource], weights: list[float]) -> None:
        self._channels, self._weights = channels, weights

    def __call__(self, number: int, rows: slice) -> NDArray[Any]:
        """One slice, or some of its rows."""
        total: NDArray[np.float32] | None = None
        for channel, weight in zip(self._channels, self._weights, strict=True):
            low, high = channel.value_range
            part = (channel.plane(number) if rows == WHOLE else channel.part(number, rows)).astype(np.float32)
            part -= low
            part *= weight / (high - low)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total
