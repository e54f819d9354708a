"""One description of a run, from which both the run and the script of *Copy as Python* are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.options import Params
from defocus_backend.progress import CancelCallback, ProgressCallback, Share
from napari_defocus._layers import LayerSource
from napari_defocus._view import View

_TIFF = (".tif", ".tiff", ".lsm")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_WATCHED = ("defocus_map", "fuse", "fuse_nd", "fuse_by_index", "fuse_corrected", "align_stack")
"""Functions that take `progress` and `cancel`."""
_STOPPED = ("shallow_depth_of_field", "alignment_needed")
"""Functions that take `cancel` alone."""
_OF_STACKS = (
    *("fuse", "fuse_nd", "fuse_by_index", "fuse_corrected"),
    *("align_stack", "apply_alignment", "alignment_needed"),
)
"""Functions that read a stack slice by slice; all others get arrays."""

Values = dict[str, Any]


class _Each:
    """Stands for the index of the image in turn, in a run over all images of a layer."""

    def __repr__(self) -> str:
        return "index"


EACH = _Each()


@dataclass(frozen=True)
class Part:
    """A value by the name that it has in the script, or a part of it: ``stack[1]``, ``fusion.image``.

    Attributes
    ----------
    name : str
        Of an input, or of the target of an earlier call.
    attribute : str
        Attribute of the value; empty for the value itself.
    index : tuple
        Numbers, `EACH` or ``slice(None)``, one for each leading axis.
    """

    name: str
    attribute: str = ""
    index: tuple[Any, ...] = ()

    def __str__(self) -> str:
        whole = f"{self.name}.{self.attribute}" if self.attribute else self.name
        shown = ", ".join(":" if isinstance(i, slice) else str(i) for i in self.index)
        return f"{whole}[{shown}]" if shown else whole

    def find(self, values: Values, each: tuple[int, ...] = ()) -> Any:
        """The value among those that a run has so far."""
        value = getattr(values[self.name], self.attribute) if self.attribute else values[self.name]
        if not self.index:
            return value
        key = tuple(n for i in self.index for n in (each if i is EACH else (i,)))
        return value.part(key) if isinstance(value, View) else value[key]


@dataclass(frozen=True)
class Call:
    """One call of a function of `defocus_backend`.

    Attributes
    ----------
    target : str or Part
        Name of what it returns; or a part of an array that it replaces.
    function : str
        Empty to give a part another name.
    inputs : tuple
        Parts, or plain values.
    options : mapping
        Keyword arguments: plain values or parts.
    only_if : Part or None
        Call it only where this is true.
    """

    target: str | Part
    function: str
    inputs: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    only_if: Part | None = None

    def lines(self) -> list[str]:
        """The call in Python, an argument a line."""
        if not self.function:
            return [f"{self.target} = {self.inputs[0]}"]
        shown = [f"    {_shown(part)}," for part in self.inputs]
        for name, value in self.options.items():
            shown.append(f"    {name}={_shown(value)},")
        lines = [f"{self.target} = db.{self.function}(", *shown, ")"]
        return lines if self.only_if is None else [f"if {self.only_if}:", *("    " + line for line in lines)]

    def run(
        self, values: Values, progress: ProgressCallback | None, cancel: CancelCallback, each: tuple[int, ...] = ()
    ) -> None:
        """Make the call and keep what it returns."""
        import defocus_backend as db

        if self.only_if is not None and not self.only_if.find(values, each):
            return
        found = [part.find(values, each) if isinstance(part, Part) else part for part in self.inputs]
        if not self.function:
            self._keep(values, found[0])
            return
        if self.function not in _OF_STACKS:
            found = [value.read() if isinstance(value, View) else value for value in found]
        options = {k: v.find(values, each) if isinstance(v, Part) else v for k, v in self.options.items()}
        if self.function in _WATCHED:
            options |= {"progress": progress, "cancel": cancel}
        elif self.function in _STOPPED:
            options["cancel"] = cancel
        self._keep(values, getattr(db, self.function)(*found, **options))

    def _keep(self, values: Values, value: Any) -> None:
        if isinstance(self.target, str):
            values[self.target] = value
        else:
            whole = Part(self.target.name, self.target.attribute).find(values)
            whole[self.target.index] = value


@dataclass(frozen=True)
class Recipe:
    """The calls of a run in order, what they read and what is saved of them.

    Attributes
    ----------
    title : str
        Of the widget.
    inputs : mapping of str to (View or sequence of View)
        What is read, by name; several layers make a list.
    calls : tuple of Call
    saved : mapping of str to Part
        Files of the script without their suffix, and what each holds.
    colour : tuple of str
        Which of them are pictures in colour.
    loop : int
        Leading axes of ``image`` over which the calls are repeated.
    shares_range : bool
        Give all of these calls one value range, as ``value_range``.
    comment : str
        A line for the head of the script.
    """

    title: str
    inputs: Mapping[str, Any]
    calls: tuple[Call, ...]
    saved: Mapping[str, Part]
    colour: tuple[str, ...] = ()
    loop: int = 0
    shares_range: bool = False
    comment: str = ""

    def run(
        self,
        progress: ProgressCallback,
        cancel: CancelCallback,
        given: Mapping[str, Callable[[tuple[int, ...]], Any]] | None = None,
    ) -> Values:
        """Make the calls.

        Parameters
        ----------
        progress, cancel : callable
            See `defocus_backend.progress`.
        given : mapping
            For targets that are known already, a function that gives them at an index: their calls are left out.

        Returns
        -------
        dict
            Every value by name; over a loop, for each of `saved` an array of all images.
        """
        from defocus_backend.progress import Reporter

        known = given or {}
        values: Values = dict(self.inputs)
        if not self.loop:
            for number, call in enumerate(self.calls):
                if call.function and isinstance(call.target, str) and call.target in known:
                    values[call.target] = known[call.target](())
                else:
                    call.run(values, _share(progress, number, len(self.calls)), cancel)
            return values
        image: View = self.inputs["image"]
        indices = list(np.ndindex(image.shape[: self.loop]))
        if self.shares_range:
            values["value_range"] = image.value_range(self.loop)
        reporter, out = Reporter(len(indices), "images", progress, cancel), dict[str, NDArray[Any]]()
        for index in indices:
            for call in self.calls:
                if isinstance(call.target, str) and call.target in known:
                    values[call.target] = known[call.target](index)
                else:
                    call.run(values, None, cancel, index)
            for name, part in self.saved.items():
                one = part.find(values, index)
                if name not in out:
                    out[name] = np.empty((*image.shape[: self.loop], *one.shape), one.dtype)
                out[name][index] = one
            reporter.advance()
        return out

    def script(self) -> str:
        """The same calls as a Python script that needs the library alone."""
        body = [line for name, views in self.inputs.items() for line in _load(name, views)]
        if self.shares_range:
            image: View = self.inputs["image"]
            body += [
                "from defocus_backend.stacks import as_source",
                f"images = [image[index] for index in np.ndindex(image.shape[:{self.loop}])]",
                f"value_range = as_source(images, channel_axis={image.channel_axis}).value_range",
            ]
        calls = [line for call in self.calls for line in call.lines()]
        if not self.loop:
            body += [*calls, *(self._save(name, str(part)) for name, part in self.saved.items())]
        else:
            body += [f"{name} = []" for name in self.saved]
            body.append(f"for index in np.ndindex(image.shape[:{self.loop}]):")
            body += ["    " + line for line in calls]
            body += [f"    {name}.append({part})" for name, part in self.saved.items()]
            together = f"np.reshape({{0}}, (*image.shape[:{self.loop}], *{{0}}[0].shape))"
            body += [self._save(name, together.format(name)) for name in self.saved]
        return _script(self.title, self.comment, body)

    def _save(self, name: str, value: str) -> str:
        return f"imwrite({name + '.tif'!r}, {value}, photometric={'rgb' if name in self.colour else 'minisblack'!r})"

    def with_calls(self, calls: Sequence[Call], saved: Mapping[str, Part]) -> Recipe:
        """The same with further calls, and files in place of others of their names."""
        return replace(self, calls=(*self.calls, *calls), saved={**self.saved, **saved})


def _share(progress: ProgressCallback, number: int, count: int) -> ProgressCallback:
    """A callback that counts in the whole bar."""
    return progress if count == 1 else Share(progress, getattr(progress, "preview", None), number, count)


def _shown(value: Any) -> str:
    if isinstance(value, Part):
        return str(value)
    if isinstance(value, Params):
        given = {name: v for name, v in value.flat().items() if v != getattr(type(value), name)}
        return f"db.{type(value).__name__}({', '.join(f'{name}={_shown(v)}' for name, v in given.items())})"
    if isinstance(value, np.ndarray | list):
        return repr([float(v) for v in value])
    return repr(value.item()) if isinstance(value, np.generic) else repr(value)


def _load(name: str, views: Any) -> list[str]:
    """Lines that read an input from its file, or from one named on the command line."""
    if isinstance(views, View):
        return _load_one(name, views)
    lines = [line for number, view in enumerate(views) for line in _load_one(f"{name}_{number}", view)]
    return [*lines, f"{name} = [{', '.join(f'{name}_{n}' for n in range(len(views)))}]"]


def _load_one(name: str, view: View) -> list[str]:
    source: LayerSource = view.source
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
    return [*lines, *(f"{name} = {name}[{key}]" for key in view.shown_keys())]


def _script(title: str, comment: str, body: Sequence[str]) -> str:
    reads_arguments = any("next(files)" in line for line in body)
    pictures = any("read_picture(" in line for line in body)
    numpy = any("np." in line for line in body)
    head = [f'"""{title}, as run in napari-defocus."""', ""]
    head += ["import sys", ""] if reads_arguments else []
    head += ["import numpy as np"] if numpy else []
    head += ["from skimage.io import imread as read_picture"] if pictures else []
    head += ["from tifffile import imread, imwrite", "", "import defocus_backend as db", ""]
    head += [f"# {comment}"] if comment else []
    head += ["files = iter(sys.argv[1:])"] if reads_arguments else []
    return "\n".join([*head, *body]) + "\n"
