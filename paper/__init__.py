"""The tables and figures of Galetto and Deng (2021), computed again and compared with the printed values."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from defocus_backend.errors import InputError
from defocus_backend.io import check_folder
from paper import enhancement, fusion_figures, fusion_scores, map_figures, networks
from paper.inputs import Inputs
from paper.page import PAGE, write_result
from paper.result import Context, Item, ItemResult

__all__ = ["ITEMS", "PAGE", "Context", "Inputs", "Item", "ItemResult", "reproduce"]

ITEMS: dict[str, Item] = {
    item.key: item
    for item in (
        networks.TABLE2,
        fusion_scores.TABLE3,
        *map_figures.FIGURES,
        *enhancement.FIGURES,
        *fusion_figures.FIGURES,
    )
}
"""All items by key, in the order of the page. Figures 1 to 4 and 13 are drawings and single training curves."""


def reproduce(context: Context, out: Path, keys: Iterable[str] = ()) -> Iterator[tuple[Item, ItemResult, list[Path]]]:
    """Make items one after the other; the files of each and the page are written when it is done.

    Parameters
    ----------
    context : Context
        Data, device and callbacks.
    out : Path
        Folder, created if absent; items of earlier runs in it stay on the page.
    keys : iterable of str
        Keys of `ITEMS`; none means all.

    Yields
    ------
    item, result, files

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError, Cancelled
    """
    wanted = list(dict.fromkeys(keys)) or list(ITEMS)
    for key in wanted:
        if key not in ITEMS:
            raise InputError("only", repr(key), "one of " + ", ".join(ITEMS))
    check_folder(out)
    for key in (key for key in ITEMS if key in wanted):
        context.check()
        started = time.process_time()
        result = ITEMS[key].make(context)
        seconds = time.process_time() - started
        yield ITEMS[key], result, write_result(out, ITEMS[key], result, list(ITEMS.values()), seconds=seconds)
