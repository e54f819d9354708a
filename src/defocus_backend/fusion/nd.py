"""Fusion of images of many dimensions: stack after stack, judged on some channels and applied to all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import InputError
from defocus_backend.fusion.bands import fuse_in_bands
from defocus_backend.fusion.by_index import fuse_by_index
from defocus_backend.fusion.channels import ChannelChoice, focus_weights, sharpest_channel
from defocus_backend.fusion.result import MAP_TYPES, Fusion
from defocus_backend.fusion.settings import FusionSettings
from defocus_backend.fusion.stack import FocalStack
from defocus_backend.progress import CancelCallback, ProgressCallback

_LETTERS = "PTCZYXS"
_AXES = "P (position), T (time), C (channel), Z (depth), Y (row), X (column), S (colour sample)"


class StackPlan:
    """How an image of many dimensions falls into focal stacks, and which channels decide.

    Parameters
    ----------
    image : array_like, dask array, zarr array or ImageND
        Anything with a shape that gives planes when it is indexed; nothing but planes is ever asked of it.
    axes : str or None
        A letter for each of its axes: P, T, C, Z, Y, X, S (colour samples), in any order. By default those that
        the image itself tells, as `defocus_backend.open_nd` returns it.
    focus_channels : int, str, sequence, mapping or None
        Channels on which focus is judged: one by number or name, several, or several with weights. By default the
        one that has the most fine detail above its noise in the first stack.
    channel_names : sequence of str or None
        By default those that the image itself tells.

    Attributes
    ----------
    axes : str
    sizes : dict
        Length of each axis by its letter.
    dtype : numpy.dtype
    z_step : float or None
        Distance of neighbouring slices where the image itself tells it; the unit of the height.
    loop : str
        The axes along which stacks follow one another.
    result_axes, map_axes : str
        Axes of the fused image and of its maps: the given ones without Z, planes last.
    focus : dict
        Weights of the deciding channels by number; empty where there is no channel axis.
    chosen : bool
        Whether they were chosen here.

    Raises
    ------
    InputError
    """

    def __init__(
        self,
        image: Any,
        axes: str | None = None,
        *,
        focus_channels: ChannelChoice | None = None,
        channel_names: Sequence[str | None] | None = None,
    ) -> None:
        self._image = image if hasattr(image, "shape") and hasattr(image, "__getitem__") else np.asarray(image)
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
        """Number of channels, 1 where there is no such axis."""
        return self.sizes.get("C", 1)

    def __len__(self) -> int:
        """Number of focal stacks."""
        return int(np.prod([self.sizes[a] for a in self.loop]))

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """Index of each stack along the axes of `loop`."""
        return itertools.product(*(range(self.sizes[a]) for a in self.loop))

    def result_shape(self, axes: str) -> tuple[int, ...]:
        """Lengths of some of the axes."""
        return tuple(self.sizes[a] for a in axes)

    def slices(self, index: tuple[int, ...], channel: int = 0, *, alone: bool = False) -> Slices:
        """One channel of one stack; `alone` keeps a dask array from starting threads of its own."""
        fixed = dict(zip(self.loop, index, strict=True)) | ({"C": channel} if "C" in self.axes else {})
        return Slices(self._image, self.axes, fixed, self.sizes["Z"], alone=alone)

    def judged(
        self, index: tuple[int, ...], *, value_range: tuple[float, float] | None = None, alone: bool = False
    ) -> tuple[Sequence[NDArray[Any]], tuple[float, float] | None]:
        """The slices of one stack on which focus is judged, and their value range; the given one is each channel's."""
        channels = [self.slices(index, c, alone=alone) for c in self.focus or {0: 1.0}]
        if len(channels) == 1:
            return channels[0], value_range
        mixed = _Mixed(channels, list(self.focus.values()), self.channel_axis, value_range)
        return mixed, None if value_range is None else (0.0, 1.0)

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


class Slices(Sequence[NDArray[Any]]):
    """The planes (H, W) or (H, W, S) of one focal stack, taken out of the image one at a time."""

    def __init__(self, image: Any, axes: str, fixed: dict[str, int], count: int, *, alone: bool) -> None:
        self._image, self._axes, self._fixed, self._count, self._alone = image, axes, fixed, count, alone
        left = [a for a in axes if a in "YXS"]
        self._turn = [left.index(a) for a in "YXS" if a in left]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> NDArray[Any]:  # type: ignore[override]
        if not 0 <= number < self._count:
            raise IndexError(number)
        key = tuple(slice(None) if a in "YXS" else number if a == "Z" else self._fixed[a] for a in self._axes)
        plane = self._image[key]
        if self._alone and hasattr(plane, "compute"):
            plane = plane.compute(scheduler="synchronous")
        return np.asanyarray(plane).transpose(self._turn)  # a mask stays


class _Mixed(Sequence[NDArray[Any]]):
    """Weighted sum of several channels, each on the unit range: the given one, or that of its values in the stack."""

    def __init__(
        self,
        channels: list[Slices],
        weights: list[float],
        channel_axis: int | None,
        value_range: tuple[float, float] | None,
    ) -> None:
        self._channels, self._weights = channels, weights
        self._ranges = [FocalStack(c, channel_axis=channel_axis, value_range=value_range).value_range for c in channels]

    def __len__(self) -> int:
        return len(self._channels[0])

    def __getitem__(self, number: int) -> NDArray[Any]:  # type: ignore[override]
        total: NDArray[np.float32] | None = None
        for channel, weight, (low, high) in zip(self._channels, self._weights, self._ranges, strict=True):
            part = channel[number].astype(np.float32)
            part -= low
            part *= weight / (high - low)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total


def fuse_plan(
    plan: StackPlan,
    settings: FusionSettings,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Iterator[tuple[tuple[int, ...], Fusion]]:
    """Fuse one focal stack after the other, for results that are written as they come.

    Parameters
    ----------
    plan : StackPlan
    settings : FusionSettings
        Where they say no distance of the slices, it is that of the image.
    progress, cancel : callable or None
        See `defocus_backend.progress`.

    Yields
    ------
    index : tuple of int
        Along the axes of `plan.loop`.
    fusion : Fusion
        Of that stack; the image is (C, H, W[, S]), without C where there is no such axis.
    """
    for done, index in enumerate(plan):
        yield index, fuse_one(plan, index, settings, _share(progress, done, len(plan), plan), cancel)


def fuse_one(
    plan: StackPlan,
    index: tuple[int, ...],
    settings: FusionSettings,
    progress: Callable[[int], ProgressCallback | None] = lambda _: None,
    cancel: CancelCallback | None = None,
    *,
    alone: bool = False,
) -> Fusion:
    """Fuse one stack of a plan; see `StackPlan.slices` for `alone`."""
    settings = settings.with_z_step(plan.z_step)
    judged, value_range = plan.judged(index, value_range=settings.value_range, alone=alone)
    slices = FocalStack(judged, channel_axis=plan.channel_axis, value_range=value_range)
    found = fuse_in_bands(slices, settings, progress=progress(0), cancel=cancel)
    if "C" not in plan.axes:
        return found
    images = dict.fromkeys(range(plan.channels), found.image)
    fusion = settings.fusion
    for step, channel in enumerate(_followers(plan), start=1):
        images[channel] = fuse_by_index(
            plan.slices(index, channel, alone=alone),
            found.index,
            channel_axis=plan.channel_axis,
            blend=fusion.blend,
            radius=fusion.radius,
            eps=fusion.eps,
            delta=fusion.delta,
            device=settings.device,
            progress=progress(step),
            cancel=cancel,
        )
    return replace(found, image=np.stack(list(images.values())))


def fuse_whole(
    plan: StackPlan,
    settings: FusionSettings,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Fusion:
    """Fuse all stacks of a plan into one `Fusion`, whose arrays have the axes of the plan's results."""
    found = [one for _, one in fuse_plan(plan, settings, progress=progress, cancel=cancel)]
    lead = plan.result_shape(plan.loop)
    together = Fusion.stacked(found, lead)
    if "C" not in plan.axes:
        return together
    return replace(together, image=np.ascontiguousarray(np.moveaxis(together.image, len(lead), _channel_place(plan))))


def _followers(plan: StackPlan) -> list[int]:
    """Channels that are fused by a decision not made on them alone."""
    return [c for c in range(plan.channels) if list(plan.focus) != [c]] if "C" in plan.axes else []


def _share(
    progress: ProgressCallback | None, stack: int, stacks: int, plan: StackPlan
) -> Callable[[int], ProgressCallback | None]:
    """For each step of a stack, the judging and then each channel, a callback that counts in the whole job."""
    steps, count = 1 + len(_followers(plan)), plan.sizes["Z"]

    def of_step(step: int) -> ProgressCallback | None:
        if progress is None:
            return None
        before = (stack * steps + step) * count
        return lambda done, total, _: progress(before + done * count // max(total, 1), stacks * steps * count, "slices")

    return of_step


def _channel_place(plan: StackPlan) -> int:
    return plan.result_axes.index("C")


def fuse_lazily(plan: StackPlan, settings: FusionSettings) -> Fusion:
    """The result of `fuse_whole` as dask arrays."""
    try:
        import dask.array as da
        from dask.delayed import delayed
    except ImportError as error:
        raise InputError("lazy", "True without dask", 'dask; pip install "napari-defocus[all]"') from error
    shape = plan.result_shape(("C" if "C" in plan.axes else "") + plan.result_axes[plan.result_axes.index("Y") :])
    flat = plan.result_shape("YX")
    lead = plan.result_shape(plan.loop)
    parts: dict[str, list[Any]] = {}
    for index in plan:
        one = delayed(fuse_one, pure=False)(plan, index, settings, alone=True)
        parts.setdefault("image", []).append(da.from_delayed(one.image, shape, plan.dtype))
        for name, dtype in MAP_TYPES.items():
            parts.setdefault(name, []).append(da.from_delayed(getattr(one, name), flat, dtype))
    arrays = {name: da.stack(some).reshape(*lead, *some[0].shape) for name, some in parts.items()}
    if "C" in plan.axes:
        arrays["image"] = da.moveaxis(arrays["image"], len(lead), _channel_place(plan))
    return Fusion(**arrays)
