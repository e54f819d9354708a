"""One stack or picture of a batch: the very command that a user would type, run as a step."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.core import ParameterSource

from defocus_backend.batch.engine import Order
from defocus_backend.batch.job import state
from defocus_backend.batch.thumbnails import THUMBNAIL_SUFFIX, thumbnail
from defocus_backend.cli.batch_config import INTO_RESULTS, command_of
from defocus_backend.cli.run import WITHIN, Within
from defocus_backend.errors import DefocusError, FileError
from defocus_backend.progress import ProgressCallback

_MAIN = {"fuse": "fused", "map": "sigma picture", "sharpen": "sharpened", "shallow": "shallow"}
_THUMBNAILS = 4
_WARNING = "warning: "


def run_step(order: Order, progress: ProgressCallback) -> dict[str, Any]:
    """Run the command of one job into its room.

    Returns
    -------
    dict
        Its JSON summary, the paths of its outputs relative to its results; with ``notes`` and ``warnings``,
        each a line, and ``thumbnails``, files in the room by their kind.

    Raises
    ------
    DefocusError
        As the command does; `FileError` also if the room cannot be seen from here.
    """
    job, room = order.job, order.room
    if not room.results.is_dir():
        raise FileError(f"{room.results}: not found; the workers of a cluster must see the same paths")
    command = command_of(job.operation)
    context = command.make_context(job.operation, ["--", *map(str, job.files)])
    assert command.callback is not None
    given: dict[str, Any] = {**job.options, "out": room.results, "name": job.name, "quiet": True}
    context.params |= {name: value for name, value in given.items() if name in context.params}
    for name in INTO_RESULTS:
        if context.params.get(name) is not None:
            context.params[name] = room.results / context.params[name]
    for name in job.given:
        context.set_parameter_source(name, ParameterSource.COMMANDLINE)
    started = time.perf_counter()
    with _within(progress) as within, _caught() as caught:
        context.invoke(command.callback, **context.params)
    summary = within.summary
    outputs = [{**o, "path": Path(o["path"]).relative_to(room.results).as_posix()} for o in summary["outputs"]]
    warned = [text.removeprefix(_WARNING) for text in within.told if text.startswith(_WARNING)]
    return {
        **{key: value for key, value in summary.items() if key not in ("command", "inputs", "outputs")},
        "outputs": outputs,
        "output_bytes": sum(state(room.results / output["path"])[0] for output in outputs),
        "notes": [text for text in within.told if not text.startswith(_WARNING)],
        "warnings": list(dict.fromkeys(" ".join(text.split()) for text in (*warned, *caught))),
        "thumbnails": _draw_thumbnails(order, outputs),
        "seconds": round(time.perf_counter() - started, 3),
    }


@contextlib.contextmanager
def _within(progress: ProgressCallback) -> Iterator[Within]:
    within = Within(progress)
    token = WITHIN.set(within)
    try:
        yield within
    finally:
        WITHIN.reset(token)


@contextlib.contextmanager
def _caught() -> Iterator[list[str]]:
    """Warnings as text."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield texts
    texts += [str(w.message) for w in caught if not issubclass(w.category, DeprecationWarning)]


def _draw_thumbnails(order: Order, outputs: list[dict[str, str]]) -> dict[str, str]:
    """Small versions of the main picture and of those that show maps."""
    first = (_MAIN[order.job.operation], "shaded")
    shown = [output for output in outputs if output["kind"] in first or output["kind"].endswith(" picture")]
    shown.sort(key=lambda output: first.index(output["kind"]) if output["kind"] in first else len(first))
    made = {}
    for output in shown[:_THUMBNAILS]:
        file = output["kind"].replace(" ", "_") + THUMBNAIL_SUFFIX
        with contextlib.suppress(DefocusError):  # a format that is written but not read: no picture of it
            (order.room.thumbnails / file).write_bytes(thumbnail(order.room.results / output["path"]))
            made[output["kind"].removesuffix(" picture")] = file
    return made
