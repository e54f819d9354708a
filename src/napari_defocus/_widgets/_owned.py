"""Parts of a widget that know the widget they belong to."""

from __future__ import annotations

import weakref
from typing import Any

from napari_defocus._worker import Preview


class Owned:
    """A part that finds its widget by a weak reference: a circle would leave it to Python's garbage collector."""

    _owner_ref: weakref.ref[Any]
    _work: Preview

    def _belong_to(self, owner: Any) -> None:
        self._owner_ref = weakref.ref(owner)

    @property
    def _owner(self) -> Any:  # an OperationWidget, whose module imports the parts
        owner = self._owner_ref()
        assert owner is not None
        return owner

    @property
    def busy(self) -> bool:
        """Whether the part works on something beside the window."""
        return self._work.busy
