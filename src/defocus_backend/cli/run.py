"""One run of a command: its progress bar, its files, which appear together or not at all, its summary."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from defocus_backend.cli.interrupt import check_interrupt
from defocus_backend.errors import FileError
from defocus_backend.io import WRITTEN_SUFFIXES, WholeFiles, check_folder, encode_image, encode_map, is_store
from defocus_backend.options import Params
from defocus_backend.params import MapParams
from defocus_backend.progress import ProgressCallback
from defocus_backend.render import Scale, draw_map

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from defocus_backend.io import Picture


@dataclass
class Within:
    """A run that is a step of another command, which shows its progress and takes its summary."""

    progress: ProgressCallback
    summary: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


WITHIN: ContextVar[Within | None] = ContextVar("WITHIN", default=None)
"""Set while a command runs as a step of another one."""


class Run:
    """What a command has made so far.

    Attributes
    ----------
    device : str
        Where it computes.
    facts : dict
        Further entries for the JSON summary.
    """

    def __init__(
        self, command: str, inputs: list[Path], files: WholeFiles, *, device: str, quiet: bool, as_json: bool
    ) -> None:
        self.command, self.device, self.facts = command, device, dict[str, Any]()
        self._inputs, self._files, self._quiet, self._json = inputs, files, quiet, as_json
        self._given = {path.resolve() for path in inputs}
        self._outputs: list[dict[str, str]] = []

    @property
    def count(self) -> int:
        """How many files the run has made."""
        return len(self._outputs)

    def tell(self, message: str) -> None:
        """Say on stderr what was decided on the way."""
        if (within := WITHIN.get()) is not None:
            within.told.append(message)
        elif not self._quiet:
            click.echo(message, err=True)

    def name_precision(self, params: MapParams) -> None:
        """Name in the summary the number format in which the network of the maps computes; refuse it early."""
        import torch

        from defocus_backend.defocus import DefocusEstimator

        used = DefocusEstimator(params, device=torch.device(self.device)).precision
        if used is not None:
            self.facts["precision"] = used

    def add(self, kind: str, path: Path, content: bytes, *, source: Path | None = None) -> None:
        """Add a file to those that appear at the end."""
        if path.resolve() in self._given:
            raise FileError(f"{path}: is an input file; choose another folder with --out")
        self._files.add(path, content)
        entry = {"kind": kind, "path": str(path)}
        self._outputs.append(entry if source is None else {**entry, "input": str(source)})

    def stage(self, kind: str, path: Path) -> Path:
        """Announce a file or Zarr folder that the caller writes, under the hidden name returned, before the end."""
        if path.resolve() in self._given:
            raise FileError(f"{path}: is an input file; choose another folder with --out")
        part = self._files.stage(path, replaces=is_store)
        self._outputs.append({"kind": kind, "path": str(path)})
        return part

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
        self, kind: str, stem: Path, pixels: ArrayLike, suffix: str, *, like: Picture, source: Path | None = None
    ) -> None:
        """Add a picture named ``<stem>_<kind>`` in the format of its source or in another."""
        own = like.path.suffix if like.path.suffix.lower() in WRITTEN_SUFFIXES else ".tif"  # of RAW: 16-bit TIFF
        ending = own if suffix == "same" else f".{suffix}"
        path = stem.with_name(f"{stem.name}_{kind}{ending}")
        self.add(kind, path, encode_image(pixels, ending.lower(), like=like), source=source)

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[ProgressCallback]:
        """A progress bar on stderr, where that is a terminal."""
        from tqdm import tqdm

        if (within := WITHIN.get()) is not None:
            yield within.progress
            return
        hidden = True if self._quiet else None  # None: hidden unless stderr is a terminal
        with tqdm(desc=text, disable=hidden, leave=False, file=sys.stderr, dynamic_ncols=True) as bar:

            def show(done: int, total: int, what: str) -> None:
                check_interrupt()
                bar.total, bar.unit = total, f" {what}"
                bar.update(done - bar.n)

            yield show

    def report(self, seconds: float, parameters: dict[str, Any]) -> None:
        """Print the summary, or hand it to the command that this run is a step of."""
        summary = {
            "command": self.command,
            "inputs": [str(p) for p in self._inputs],
            "outputs": self._outputs,
            "parameters": parameters,
            "device": self.device,
            "seconds": round(seconds, 3),
            **self.facts,
        }
        if (within := WITHIN.get()) is not None:
            within.summary = summary
        elif self._json:
            click.echo(json.dumps(summary))
        elif not self._quiet:
            width = max((len(o["kind"]) for o in self._outputs), default=0)
            for entry in self._outputs:
                click.echo(f"{entry['kind']:<{width}}  {entry['path']}")
            click.echo(f"{seconds:.1f} s on {self.device}")


@contextlib.contextmanager
def running(
    command: str,
    inputs: Iterable[Path],
    folders: Iterable[Path],
    parameters: dict[str, Any],
    *,
    device: str,
    quiet: bool,
    as_json: bool,
    listed: bool = True,
) -> Iterator[Run]:
    """Run a command: look first whether its folders can be written, at the end put all files in place."""
    for folder in folders:
        check_folder(folder)
    from defocus_backend.device import keep_freed_memory, resolve_device

    keep_freed_memory()
    where = str(resolve_device(device))
    started = time.perf_counter()
    with WholeFiles() as files:
        run = Run(command, list(inputs), files, device=where, quiet=quiet, as_json=as_json)
        yield run
    if listed or as_json or WITHIN.get() is not None:
        run.report(time.perf_counter() - started, parameters)


def as_parameters(*groups: Params) -> dict[str, Any]:
    """The options of a run by name, for its summary."""
    given = {name: value for one in groups for name, value in one.flat().items()}
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
