"""One run from files to files. All results appear together or not at all; the run returns their paths."""

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
    """Receives the messages and the progress of a run. This base class ignores them."""

    def tell(self, message: str) -> None:
        """Receive a message about a decision."""

    def progress(self, text: str) -> AbstractContextManager[ProgressCallback | None]:  # noqa: ARG002
        """Callback for the progress of one step, which is named by the text; see `defocus_backend.progress`."""
        return contextlib.nullcontext()


@dataclass(frozen=True)
class Output:
    """A file written by a run.

    Attributes
    ----------
    kind : str
        Content of the file, such as "fused" or "sigma picture".
    path : Path
    source : Path or None
        The input of this file, if the run has several.
    """

    kind: str
    path: Path
    source: Path | None = None


@dataclass(frozen=True)
class Made:
    """Result of a run.

    Attributes
    ----------
    command : str
        Name of the operation, such as "fuse".
    inputs : tuple of Path
    outputs : tuple of Output
        The written files, in order.
    parameters : mapping
        The options by name.
    device : str
        Compute device.
    seconds : float
    facts : mapping
        Further results, such as the alignment, gains and coverage.
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
        """Paths of the written files."""
        return tuple(output.path for output in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """All attributes as plain values, for JSON."""
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
    """A run in progress, with its results so far.

    Attributes
    ----------
    device : str
        Compute device.
    facts : dict
        Further results, see `Made`.
    made : Made or None
        The complete result, after the run has ended.
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
        """Send a message about a decision to the listener."""
        self._listener.tell(message)

    def progress(self, text: str) -> AbstractContextManager[ProgressCallback | None]:
        """Callback for the progress of one step."""
        return self._listener.progress(text)

    def name_precision(self, params: MapParams) -> None:
        """Add the number format of the network to the facts; raise an error early if the device lacks it."""
        import torch

        from defocus_backend.defocus import DefocusEstimator

        used = DefocusEstimator(params, device=torch.device(self.device)).precision
        if used is not None:
            self.facts["precision"] = used

    def add(self, kind: str, path: Path, content: bytes, *, source: Path | None = None) -> None:
        """Add a file that appears at the end of the run."""
        self._refuse_input(path)
        self._files.add(path, content)
        self._outputs.append(Output(kind, path, source))

    def stage(self, kind: str, path: Path) -> Path:
        """Announce a file or Zarr folder; the caller writes it under the returned hidden name before the run ends."""
        self._refuse_input(path)
        part = self._files.stage(path, replaces=is_store)
        self._outputs.append(Output(kind, path))
        return part

    def _refuse_input(self, path: Path) -> None:
        if path.resolve() in self._given:
            raise FileError(f"{path}: is an input file; choose another results folder (out)")

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
        """Add a picture named ``<stem>_<kind>``, in the format of its source or in the given format."""
        own = (
            like.path.suffix if like.path.suffix.lower() in WRITTEN_SUFFIXES else ".tif"
        )  # RAW files become 16-bit TIFF
        ending = own if format_ == "same" else f".{format_}"
        path = stem.with_name(f"{stem.name}_{kind}{ending}")
        self.add(kind, path, encode_image(pixels, ending.lower(), like=like), source=source)

    def end(self, parameters: Mapping[str, Any], seconds: float) -> None:
        """Create the result `made`."""
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
    """Run from files to files: check first that the folders are writable, and put all files in place at the end."""
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
    """Result of a run that has ended."""
    assert run.made is not None, "the run has ended"
    return run.made


def refuse_changed(settings: Params, where: str, wanted: str, *, but: Iterable[str] = ()) -> None:
    """Raise an error for options that were changed but would be ignored.

    Parameters
    ----------
    settings : Params
    where, wanted : str
        Parts of the message: "with align off", "this option only where frames are aligned".
    but : iterable of str
        Names of exempt options, which are not ignored there.

    Raises
    ------
    InputError
        For the first option whose value is not its default.
    """
    defaults, kept = type(settings).describe(whole=True), set(but)
    for name, value in settings.flat().items():
        if name not in kept and value is not defaults[name]["default"] and value != defaults[name]["default"]:
            raise InputError(name, f"this option {where}", wanted)
