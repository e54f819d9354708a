"""One job of a batch: run the operation of a single command in the working folder of the job."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from defocus_backend.batch.engine import Order
from defocus_backend.batch.job import state
from defocus_backend.batch.thumbnails import THUMBNAIL_SUFFIX, thumbnail
from defocus_backend.errors import DefocusError, FileError
from defocus_backend.options import Params
from defocus_backend.pipeline.fuse import fuse_files
from defocus_backend.pipeline.options import FuseFiles, MapFiles, ShallowFiles, SharpenFiles
from defocus_backend.pipeline.pictures import map_files, shallow_files, sharpen_files
from defocus_backend.pipeline.run import Listener, Made
from defocus_backend.progress import ProgressCallback

OPERATIONS: Mapping[str, tuple[Callable[..., Made], type[Params]]] = MappingProxyType(
    {
        "fuse": (fuse_files, FuseFiles),
        "map": (map_files, MapFiles),
        "sharpen": (sharpen_files, SharpenFiles),
        "shallow": (shallow_files, ShallowFiles),
    }
)
"""Operations of a batch, with the options of each."""

INTO_RESULTS = ("transforms", "export_aligned", "mesh")
"""Options that name further results. In a batch, they are paths below the folder of each stack."""

_MAIN = {"fuse": "fused", "map": "sigma picture", "sharpen": "sharpened", "shallow": "shallow"}
_THUMBNAILS = 4
_WARNING = "warning: "


class _Notes(Listener):
    """Collects the messages of a run and forwards its progress."""

    def __init__(self, progress: ProgressCallback) -> None:
        self.told: list[str] = []
        self._progress = progress

    def tell(self, message: str) -> None:
        self.told.append(message)

    def progress(self, text: str) -> AbstractContextManager[ProgressCallback | None]:  # noqa: ARG002
        return contextlib.nullcontext(self._progress)


def run_step(order: Order, progress: ProgressCallback) -> dict[str, Any]:
    """Run one job in its working folder.

    Returns
    -------
    dict
        The summary of the run, with output paths relative to the results folder. ``notes`` and ``warnings`` are lists
        of lines; ``thumbnails`` are files in the working folder, by kind.

    Raises
    ------
    DefocusError
        As in the operation; `FileError` also if the working folder cannot be found.
    """
    job, room = order.job, order.room
    if not room.results.is_dir():
        raise FileError(f"{room.results}: not found; the workers of a cluster must see all files under the same paths")
    operation, kind = OPERATIONS[job.operation]
    given: dict[str, Any] = {**job.options, "out": room.results, "name": job.name}
    given |= {name: room.results / given[name] for name in INTO_RESULTS if given.get(name) is not None}
    settings = kind.of({name: value for name, value in given.items() if name in kind.names()})
    notes, started = _Notes(progress), time.perf_counter()
    with _caught() as caught:
        made = operation(job.files, settings, ordered=True, listener=notes)
    summary = made.to_dict()
    outputs = [{**o, "path": Path(o["path"]).relative_to(room.results).as_posix()} for o in summary["outputs"]]
    warned = [text.removeprefix(_WARNING) for text in notes.told if text.startswith(_WARNING)]
    return {
        **{key: value for key, value in summary.items() if key not in ("command", "inputs", "outputs")},
        "outputs": outputs,
        "output_bytes": sum(state(room.results / output["path"])[0] for output in outputs),
        "notes": [text for text in notes.told if not text.startswith(_WARNING)],
        "warnings": list(dict.fromkeys(" ".join(text.split()) for text in (*warned, *caught))),
        "thumbnails": _draw_thumbnails(order, outputs),
        "seconds": round(time.perf_counter() - started, 3),
    }


@contextlib.contextmanager
def _caught() -> Iterator[list[str]]:
    """Collect warnings as text."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield texts
    texts += [str(w.message) for w in caught if not issubclass(w.category, DeprecationWarning)]


def _draw_thumbnails(order: Order, outputs: list[dict[str, str]]) -> dict[str, str]:
    """Write thumbnails of the main picture and of the map pictures."""
    first = (_MAIN[order.job.operation], "shaded")
    shown = [output for output in outputs if output["kind"] in first or output["kind"].endswith(" picture")]
    shown.sort(key=lambda output: first.index(output["kind"]) if output["kind"] in first else len(first))
    made = {}
    for output in shown[:_THUMBNAILS]:
        file = output["kind"].replace(" ", "_") + THUMBNAIL_SUFFIX
        with contextlib.suppress(DefocusError):  # some formats can be written but not read, so they get no thumbnail
            (order.room.thumbnails / file).write_bytes(thumbnail(order.room.results / output["path"]))
            made[output["kind"].removesuffix(" picture")] = file
    return made
