"""One run of the fusion widget as calls of the library, and what it returns laid out for layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import InputError
from defocus_backend.params import ALIGN_MODELS, BlendParams, FusionParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from napari_defocus._layers import Layout
from napari_defocus._recipe import Call, Part, Recipe
from napari_defocus._stacks import StackChoice, Window

if TYPE_CHECKING:
    from defocus_backend.stacks import SliceSource

MAPS = ("index", "sigma", "confidence", "height", "height_error", "never_in_focus")
ALIGN_MODES = ("off", "auto", *ALIGN_MODELS)


@dataclass(frozen=True)
class LayerAlignment:
    """What the widget asks of the alignment.

    Attributes
    ----------
    mode : str
        One of `ALIGN_MODES`; "auto" aligns where the frames are found to be moved.
    options : mapping
        Further arguments of `align_stack`, `border` among them.
    """

    mode: str = "off"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def on(self) -> bool:
        """Whether frames may be moved."""
        return self.mode != "off"


def fusion_recipe(title: str, choice: StackChoice, options: Mapping[str, Any], alignment: LayerAlignment) -> Recipe:
    """The calls that fuse what was chosen.

    Parameters
    ----------
    title : str
        Of the widget.
    choice : StackChoice
    options : mapping
        Of `fuse`.
    alignment : Alignment

    Raises
    ------
    InputError
        If stacks at several positions are to be aligned: each would get another area.
    """
    if alignment.on and choice.looped:
        raise InputError(
            "alignment", f"{len(choice.plan)} positions", "one: choose the position in view, or no alignment"
        )
    colour = choice.source.channel_axis
    z = choice.z()
    place = {} if z is None else {"z": [float(v) for v in z]}
    # Channels of one image are not matched against each other: their brightness may be what was measured.
    measured = {} if choice.channel_axis is None else {"match_exposure": False}
    settings = fuse_arguments({**measured, **options, **place})
    common = {"channel_axis": colour, **settings}
    if not alignment.on and (choice.looped or choice.channel_axis is not None):
        axes: dict[str, Any] = {"axes": choice.axes}
        if choice.channel_axis is not None:
            axes["focus_channels"] = choice.judge
        calls = [Call("fusion", "fuse_nd", (Part("stack"),), {**axes, **settings})]
        saved = {"fused": Part("fusion", "image")}
    elif choice.channel_axis is None:
        calls = [
            *_alignment("stack", [], alignment, colour, choice.calibrated),
            Call("fusion", "fuse", (Part("stack"),), common),
        ]
        saved = {"fused": Part("fusion", "image")}
    else:
        names = [f"channel_{c}" for c in range(choice.channels)]
        judged = names[choice.judge]
        calls = [Call(n, "", (Part("stack", index=choice.key((), c)),)) for c, n in enumerate(names)]
        calls += _alignment(judged, [n for n in names if n != judged], alignment, colour, choice.calibrated)
        calls.append(Call("fusion", "fuse", (Part(judged),), common))
        by_index = by_index_arguments(options, colour)
        saved = {}
        for number, name in enumerate(names):
            saved[f"fused_{number}"] = Part("fusion", "image") if name == judged else Part(f"fused_{number}")
            if name != judged:
                calls.append(Call(f"fused_{number}", "fuse_by_index", (Part(name), Part("fusion", "index")), by_index))
    saved |= {"index": Part("fusion", "index"), "height": Part("fusion", "height")}
    colours = tuple(name for name in saved if name.startswith("fused")) if choice.source.rgb else ()
    return Recipe(title, {"stack": choice.stack()}, tuple(calls), saved, colours)


def fuse_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `fuse` for options by name; groups that hold nothing but defaults are left out."""
    found = FusionParams.arrange(options)
    return {name: value for name, value in found.items() if name not in FusionParams.groups() or value != type(value)()}


def blend_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of them that a decision which is known already needs too."""
    names = ("blend", *BlendParams.names())
    return fuse_arguments({name: options[name] for name in names})


def by_index_arguments(options: Mapping[str, Any], channel_axis: int | None) -> dict[str, Any]:
    """Arguments of `fuse_by_index` and `fuse_corrected`."""
    taken = {name: options[name] for name in ("device", "value_range")}
    return {"channel_axis": channel_axis, **blend_arguments(options), **taken}


def _alignment(
    judged: str, others: Sequence[str], alignment: LayerAlignment, colour: int | None, calibrated: bool
) -> list[Call]:
    """Calls that put aligned frames in the place of the frames."""
    if not alignment.on:
        return []
    calls, needed = [], None
    options = {"channel_axis": colour, **alignment.options}
    if alignment.mode == "auto":
        kind = {"channel_axis": colour, **({"calibrated": True} if calibrated else {})}
        calls.append(Call("need", "alignment_needed", (Part(judged),), kind))
        needed = Part("need", "needed")
    else:
        options["model"] = alignment.mode
    calls.append(Call(judged, "align_stack", (Part(judged),), options, needed))
    border = {"channel_axis": colour, **{k: v for k, v in alignment.options.items() if k == "border"}}
    for name in others:
        calls.append(Call(name, "apply_alignment", (Part(name), Part(judged, "alignment")), border, needed))
    return calls


@dataclass
class FusedStack:
    """The slices of a run as they were fused, aligned or not, for fusing parts of them again.

    Attributes
    ----------
    choice : StackChoice
    options : mapping
        Of `fuse`.
    aligned : list
        For every channel what `align_stack` returned; empty where nothing was aligned.
    border : str
        How these were asked for.
    gains : tuple of float
        What every slice was divided by to match its brightness; empty where none differed.
    """

    choice: StackChoice
    options: Mapping[str, Any]
    aligned: list[Any] = field(default_factory=list)
    border: str = "crop"
    gains: tuple[float, ...] = ()
    _sources: dict[tuple[tuple[int, ...], int], SliceSource] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, choice: StackChoice, options: Mapping[str, Any], values: Mapping[str, Any], alignment: LayerAlignment
    ) -> FusedStack:
        """The slices of a run that has ended."""
        names = ["stack"] if "channel_0" not in values else [f"channel_{c}" for c in range(choice.channels)]
        aligned = [values[name] for name in names if hasattr(values[name], "alignment")]
        gains = values["fusion"].gains
        matched = () if gains is None or (gains == 1).all() else tuple(float(gain) for gain in gains)
        return cls(choice, options, aligned, str(alignment.options.get("border", "crop")), matched)

    @classmethod
    def again(
        cls, choice: StackChoice, options: Mapping[str, Any], text: str, border: str, gains: Sequence[float] = ()
    ) -> FusedStack:
        """The slices of an earlier run, by the alignment that it found as JSON; empty text where there was none."""
        made = cls(choice, options, border=border, gains=tuple(gains))
        if text:
            import defocus_backend as db

            known, aligned = db.Alignment.from_json(text), []
            for channel in range(choice.channels):
                aligned.append(db.apply_alignment(choice.plan.slices((), channel), known, border=border))
            made.aligned = aligned
        return made

    def as_dict(self) -> dict[str, Any]:
        """Plain values from which `again` makes it again, for the metadata of a layer and for files."""
        choice = {**self.choice.as_dict(), "total": self.choice.total}
        found = {"aligned": self.alignment_text, "border": self.border, "gains": list(self.gains)}
        return {"choice": choice, "options": dict(self.options), **found}

    @property
    def offset(self) -> tuple[int, int]:
        """Row and column of what was chosen at which the results start."""
        if not self.aligned:
            return (0, 0)
        rows, columns = self.aligned[0].window
        return int(rows.start), int(columns.start)

    @property
    def start(self) -> tuple[int, int]:
        """Row and column of the layer at which the results start."""
        window = self.choice.window
        first = (0, 0) if window is None else (window[0].start, window[1].start)
        return first[0] + self.offset[0], first[1] + self.offset[1]

    @property
    def alignment_text(self) -> str:
        """The alignment as JSON; empty where there is none."""
        return self.aligned[0].alignment.to_json() if self.aligned else ""

    def slices(self, frame: Sequence[int], channel: int) -> SliceSource:
        """One stack and channel as it was fused, to be read slice by slice."""
        found = self._unmatched(frame, channel)
        if not self.gains:
            return found
        from defocus_backend.fusion.brightness import MatchedStack

        return MatchedStack(found, self.gains)

    def _unmatched(self, frame: Sequence[int], channel: int) -> SliceSource:
        """The same before the brightness is matched; with the values that count as 0 and 1 once they are known."""
        key = (tuple(frame), channel)
        if key not in self._sources:
            found = self.aligned[channel] if self.aligned else self.choice.plan.slices(key[0], channel)
            self._sources[key] = found.on_range(self.options.get("value_range"))
        return self._sources[key]

    def part(self, frame: Sequence[int], channel: int, window: Window) -> list[NDArray[Any]]:
        """One window of every slice of one stack and channel, before their brightness is matched by `gains`."""
        rows, columns = window
        return [piece[:, columns] for piece in self._unmatched(frame, channel).rows(rows.start, rows.stop)]

    def value_range(self, frame: Sequence[int], channel: int) -> tuple[float, float]:
        """Values that count as 0 and 1 in one stack and channel, as `fuse` found them."""
        return self._unmatched(frame, channel).value_range

    def maps(self) -> Layout:
        """Where maps of the result lie."""
        return self.choice.layout(offset=self.offset)

    def images(self) -> Layout:
        """Where the fused image lies."""
        return self.choice.layout(channels=True, offset=self.offset)

    def map_at(self, frame: Sequence[int]) -> tuple[int, ...]:
        """Index of the map of one stack."""
        return self.maps().at(self._where(frame, 0))

    def image_at(self, frame: Sequence[int], channel: int) -> tuple[int, ...]:
        """Index of the fused image of one stack and channel."""
        return self.images().at(self._where(frame, channel))

    def _where(self, frame: Sequence[int], channel: int) -> dict[int, int]:
        choice = self.choice
        where = {**(choice.fixed or {}), **dict(zip(choice.looped, frame, strict=True)), choice.axis: 0}
        return where if choice.channel_axis is None else {**where, choice.channel_axis: channel}


@dataclass
class Fused:
    """What a run returns: arrays laid out for their layers, and what was found about the alignment.

    Slice numbers are those of the sliders. They take as few bytes as hold them: napari shows labels of one or two bytes
    as they are and translates wider ones beforehand, which takes half a second for five megapixels. `never_above` is
    the bound in px that the run had for `never_in_focus`.
    """

    stack: FusedStack
    image: NDArray[Any]
    index: NDArray[Any]
    sigma: NDArray[np.float32]
    confidence: NDArray[np.float32]
    height: NDArray[np.float32]
    height_error: NDArray[np.float32]
    never_in_focus: NDArray[np.uint8]
    never_above: float
    weights: NDArray[np.float32] | None = None
    sigmas: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()


def run_fusion(
    recipe: Recipe,
    choice: StackChoice,
    options: Mapping[str, Any],
    alignment: LayerAlignment,
    progress: ProgressCallback,
    cancel: CancelCallback,
) -> Fused:
    """Make the calls of a recipe and lay out what they return."""
    notes = _check_still(choice, cancel) if not alignment.on else []
    values = recipe.run(progress, cancel)
    stack = FusedStack.of(choice, options, values, alignment)
    fusion = values["fusion"]
    if "channel_0" in values:
        images = [recipe.saved[f"fused_{c}"].find(values) for c in range(choice.channels)]
        image = np.stack(images)
    else:
        image = fusion.image
    if alignment.on:
        notes = _alignment_notes(values.get("need"), stack)
    if stack.gains:
        from defocus_backend.fusion.brightness import describe_gains

        notes = [*notes, f"{describe_gains(stack.gains).capitalize()}."]
    maps = {name: _laid_out(getattr(fusion, name), stack.maps().shape[:-2], 2) for name in MAPS}
    labels = np.min_scalar_type(choice.total)
    deep = choice.layout(slices=True).shape[:-2]
    return Fused(
        stack=stack,
        image=_laid_out(image, stack.images().shape[:-2], 3 if choice.source.rgb else 2),
        index=choice.taken[maps["index"]].astype(labels),
        sigma=maps["sigma"],
        confidence=maps["confidence"],
        height=maps["height"],
        height_error=maps["height_error"],
        never_in_focus=maps["never_in_focus"].astype(np.uint8),
        never_above=float(options["never_above"]),
        weights=_per_slice(fusion.weights, choice, deep),
        sigmas=_per_slice(fusion.sigmas, choice, deep),
        notes=tuple(notes),
    )


def _laid_out(values: NDArray[Any], leading: tuple[int, ...], plane: int) -> NDArray[Any]:
    """With axes of length one where the layout has them."""
    return np.ascontiguousarray(values.reshape(*leading, *values.shape[-plane:]))


def _per_slice(values: NDArray[np.float32] | None, choice: StackChoice, leading: tuple[int, ...]) -> Any:
    """Maps of every slice (..., N, H, W) with the slices at the place of the z axis."""
    if values is None:
        return None
    before = sum(a < choice.axis for a in choice.looped)
    return _laid_out(np.moveaxis(values, len(choice.looped), before), leading, 2)


def _check_still(choice: StackChoice, cancel: CancelCallback) -> list[str]:
    """A warning where frames that are not aligned are found to be moved; nothing where that cannot be measured."""
    if choice.looped:
        return []
    import defocus_backend as db

    slices = choice.plan.slices((), choice.judge)
    try:
        verdict = db.alignment_needed(slices, calibrated=choice.calibrated, cancel=cancel)
    except InputError:
        return []
    if not verdict.needed:
        return []
    return [f"Not aligned, although {verdict.reason}. Choose an alignment if edges look doubled."]


def _alignment_notes(need: Any, stack: FusedStack) -> list[str]:
    if not stack.aligned:
        return [f"Not aligned: {need.reason}." if need is not None else "Not aligned."]
    found = stack.aligned[0].alignment
    rows, columns = stack.aligned[0].window
    size, whole = (rows.stop - rows.start, columns.stop - columns.start), tuple(found.shape)
    text = f"Aligned ({found.describe()})"
    if size != whole:
        text += f"; cropped from {whole[0]} x {whole[1]} to {size[0]} x {size[1]} px"
    return [text + ".", *(f"Warning: {w}." for w in found.warnings)]
