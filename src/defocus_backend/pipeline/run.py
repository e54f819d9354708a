"""One run from files to files: the files appear together or not at all, and the run returns what it wrote."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import WRITTEN_SUFFIXES, WholeFiles, check_folder, encode_image, encode_map, is_store
from defocus_backend.options import Params
from defocus_backend.params import MapParams
from defocus_backend.progress import ProgressCallback
from defocus_backend.render import Scale, draw_map

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

    from defocus_backend.io import Picture


class Listener:
    """Hears what a run says while it works; this one keeps it to itself."""

    def tell(self, message: str) -> None:
        """Hear what was decided on the way."""

    def progress(self, text: str) -> AbstractContextManager[ProgressCallback | None]:  # noqa: ARG002
        """A callback for the progress of one step, whose name is the text; see `defocus_backend.progress`."""
        return contextlib.nullcontext()


@dataclass(frozen=True)
class Output:
    """A file that a run wrote.

    Attributes
    ----------
    kind : str
        What is in it, such as "fused" or "sigma picture".
    path : Path
    source : Path or None
        The input that it was made of, where there are several.
    """

    kind: str
    path: Path
    source: Path | None = None


@dataclass(frozen=True)
class Made:
    """What a run has made.

    Attributes
    ----------
    command : str
        What was done, such as "fuse".
    inputs : tuple of Path
    outputs : tuple of Output
        The files that were written, in their order.
    parameters : mapping
        The options by name.
    device : str
        Where it was computed.
    seconds : float
    facts : mapping
        What was found on the way: the alignment, gains, coverage and so on.
    """

    command: str
    inputs: tuple[Path, ...]
    outputs: tuple[Output, ...]
    parameters: Mapping[str, Any]
    device: str
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were written."""
        return tuple(output.path for output in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {
            "command": self.command,
            "inputs": [str(path) for path in self.inputs],
            "outputs": [_plain_output(output) for output in self.outputs],
            "parameters": {name: str(v) if isinstance(v, Path) else v for name, v in self.parameters.items()},
            "device": self.device,
            "seconds": round(self.seconds, 3),
            **self.facts,
        }


def _plain_output(output: Output) -> dict[str, str]:
    plain = {"kind": output.kind, "path": str(output.path)}
    return plain if output.source is None else {**plain, "input": str(output.source)}


class Run:
    """What a run has made so far.

    Attributes
    ----------
    device : str
        Where it computes.
    facts : dict
        What is found on the way.
    made : Made or None
        Everything, once the run has ended.
    """

    def __init__(
        self, command: str, inputs: Iterable[Path], files: WholeFiles, *, device: str, listener: Listener
    ) -> None:
        self.command, self.device, self.facts = command, device, dict[str, Any]()
        self.made: Made | None = None
        self._inputs, self._files, self._listener = tuple(inputs), files, listener
        self._given = {path.resolve() for path in self._inputs}
        self._outputs: list[Output] = []

    def tell(self, message: str) -> None:
        """Say what was decided on the way."""
        self._listener.tell(message)

    def progress(self, text: str) -> AbstractContextManager[ProgressCallback | None]:
        """A callback for the progress of one step."""
        return self._listener.progress(text)

    def name_precision(self, params: MapParams) -> None:
        """Name in the summary the number format in which the network of the maps computes; refuse it early."""
        import torch

        from defocus_backend.defocus import DefocusEstimator

        used = DefocusEstimator(params, device=torch.device(self.device)).precision
        if used is not None:
            self.facts["precision"] = used

    def add(self, kind: str, path: Path, content: bytes, *, source: Path | None = None) -> None:
        """Add a file to those that appear at the end."""
        self._refuse_input(path)
        self._files.add(path, content)
        self._outputs.append(Output(kind, path, source))

    def stage(self, kind: str, path: Path) -> Path:
        """Announce a file or Zarr folder that the caller writes, under the hidden name returned, before the end."""
        self._refuse_input(path)
        part = self._files.stage(path, replaces=is_store)
        self._outputs.append(Output(kind, path))
        return part

    def _refuse_input(self, path: Path) -> None:
        if path.resolve() in self._given:
            raise FileError(f"{path}: is an input file; choose another folder for the results (out)")

    def add_map(
        self,
        kind: str,
        stem: Path,
        values: ArrayLike,
        scale: Scale | None,
        *,
        like: Picture | None = None,
        source: Path | None = None,
    ) -> None:
        """Add a map as float TIFF and, with a scale, as coloured PNG, named ``<stem>_<kind>``."""
        label = scale.label if scale is not None else kind
        tiff = stem.with_name(f"{stem.name}_{kind}.tif")
        self.add(kind, tiff, encode_map(values, like=like, description=label), source=source)
        if scale is not None:
            self.add(f"{kind} picture", tiff.with_suffix(".png"), draw_map(values, scale), source=source)

    def add_picture(
        self, kind: str, stem: Path, pixels: ArrayLike, format_: str, *, like: Picture, source: Path | None = None
    ) -> None:
        """Add a picture named ``<stem>_<kind>`` in the format of its source or in another."""
        own = like.path.suffix if like.path.suffix.lower() in WRITTEN_SUFFIXES else ".tif"  # of RAW: 16-bit TIFF
        ending = own if format_ == "same" else f".{format_}"
        path = stem.with_name(f"{stem.name}_{kind}{ending}")
        self.add(kind, path, encode_image(pixels, ending.lower(), like=like), source=source)

    def end(self, parameters: Mapping[str, Any], seconds: float) -> None:
        """Sum up what was made."""
        outputs = tuple(self._outputs)
        self.made = Made(self.command, self._inputs, outputs, parameters, self.device, seconds, self.facts)


@contextlib.contextmanager
def running(
    command: str,
    inputs: Iterable[Path],
    folders: Iterable[Path],
    parameters: Mapping[str, Any],
    *,
    device: str | torch.device,
    listener: Listener | None = None,
) -> Iterator[Run]:
    """Run from files to files: look first whether the folders can be written, at the end put all files in place."""
    for folder in folders:
        check_folder(folder)
    from defocus_backend.device import keep_freed_memory, resolve_device

    keep_freed_memory()
    where = str(resolve_device(device))
    started = time.perf_counter()
    with WholeFiles() as files:
        run = Run(command, inputs, files, device=where, listener=listener or Listener())
        yield run
    run.end(parameters, time.perf_counter() - started)


def made_by(run: Run) -> Made:
    """What a run that has ended has made."""
    assert run.made is not None, "the run has ended"
    return run.made


def refuse_changed(settings: Params, where: str, wanted: str, *, but: Iterable[str] = ()) -> None:
    """Refuse options that were changed where they would be ignored.

    Parameters
    ----------
    settings : Params
    where, wanted : str
        For the message: "with align off", "it only where frames are aligned".
    but : iterable of str
        Names of options that count there too.

    Raises
    ------
    InputError
        That names the first of them whose value is not its default.
    """
    defaults, kept = type(settings).describe(whole=True), set(but)
    for name, value in settings.flat().items():
        if name not in kept and value is not defaults[name]["default"] and value != defaults[name]["default"]:
            raise InputError(name, f"it {where}", wanted)
