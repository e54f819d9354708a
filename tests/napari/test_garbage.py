"""During a run Python's garbage collector leaves alone what was there before."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest
from napari.components import ViewerModel

from napari_defocus._garbage import spare_what_is_there
from napari_defocus._widgets.defocus import DefocusWidget

AT_START = gc.get_freeze_count()
"""Python 3.12 begins with some 400 frozen objects of its own, until they are thawed with the others."""


class Ring:
    """Refers to itself: only the collector can free it."""

    def __init__(self) -> None:
        self.ring = self


@pytest.fixture(autouse=True)
def thawed():
    assert gc.get_freeze_count() in (0, AT_START)
    yield
    assert gc.get_freeze_count() in (0, AT_START)


def test_old_garbage_waits_and_new_garbage_goes():
    old = weakref.ref(Ring())
    release = spare_what_is_there()
    new = weakref.ref(Ring())
    gc.collect()
    assert old() is not None
    assert new() is None
    release()
    gc.collect()
    assert old() is None


def test_the_last_of_overlapping_runs_lets_go():
    first, second = spare_what_is_there(), spare_what_is_there()
    first()
    first()
    assert gc.get_freeze_count() > 1000
    second()


def test_what_somebody_else_has_frozen_stays_so():
    gc.freeze()
    spare_what_is_there()()
    assert gc.get_freeze_count() > 1000
    gc.unfreeze()


@pytest.mark.parametrize("closed", [False, True])
def test_a_run_lets_go_at_its_end_and_when_its_widget_is_closed(gray, library, show_widget, qtbot, closed):
    viewer = ViewerModel()
    viewer.add_image(gray)
    widget = show_widget(DefocusWidget(viewer))
    library.pause = 0.05
    widget.run()
    assert gc.get_freeze_count() > 1000
    if closed:
        widget.deleteLater()
        qtbot.waitUntil(lambda: gc.get_freeze_count() == 0, timeout=30_000)
    else:
        qtbot.waitUntil(lambda: widget.current_run is None, timeout=30_000)


def test_torch_is_imported_without_a_collection():
    code = (
        "import gc\n"
        "from napari_defocus._garbage import load_library\n"
        "seen = []\n"
        "gc.callbacks.append(lambda phase, about: seen.append(about['generation']))\n"
        "gc.collect(0)\n"
        "before = len(seen)\n"
        "load_library()\n"
        "assert len(seen) == before, seen\n"
        "assert gc.isenabled()\n"
        "import sys\n"
        "assert 'torch' in sys.modules\n"
        "print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "fine", done.stderr
