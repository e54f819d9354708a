"""What can be done around a run: compare with the input, save, presets, defaults, the script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QVBoxLayout, QWidget

from defocus_backend.errors import DefocusError
from napari_defocus import _settings
from napari_defocus._layers import made_by
from napari_defocus._presets import from_preset, to_preset
from napari_defocus._widgets._compare import Compare
from napari_defocus._widgets._owned import Owned
from napari_defocus._widgets._panel import button, row

if TYPE_CHECKING:
    from napari.layers import Layer

_FILES = "OME-TIFF in a folder (*.defocus);;OME-Zarr in a folder (*.zarr.defocus)"


class RunTools(Owned, QWidget):
    """The buttons below *Run*."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._belong_to(owner)
        self.compare = Compare(owner)
        self.save = button(
            "Save results ...",
            "Write all results of this input with what made them into one folder, "
            "from which File > Open brings them back.",
            self.ask_and_save,
        )
        self.reset = button("Reset to defaults", "Put every control back to its default.", owner.reset)
        self.copy = button(
            "Copy as Python", "Put a script that repeats this run without napari on the clipboard.", owner.copy_script
        )
        self.presets = QPushButton("Presets")
        self.presets.setMinimumWidth(60)
        self.presets.setToolTip("Save these settings under a name, or take saved ones; `defocus batch --config` too.")
        menu = QMenu(self.presets)
        menu.addAction("Save as ...", self.ask_and_save_preset)
        menu.addAction("Open ...", self.ask_and_open_preset)
        self.presets.setMenu(menu)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.compare)
        layout.addLayout(row(self.save, self.copy))
        layout.addLayout(row(self.reset, self.presets))

    @property
    def controls(self) -> list[QWidget]:
        """In the order of the Tab key."""
        compare = self.compare
        return [compare.toggle, compare.split, compare.share, self.save, self.copy, self.reset, self.presets]

    def update_state(self, problem: str, busy: bool) -> None:
        """Enable what can be used now."""
        made = bool(self.results())
        self.copy.setEnabled(not problem)
        self.compare.update_state(made)
        self.save.setEnabled(made and not busy)

    def results(self) -> list[Layer]:
        """All results of the input of the last run, of whatever widget."""
        shown = [x for x in self._owner.made_layers.values() if x in self._owner.viewer.layers]
        if not shown:
            return []
        source = made_by(shown[-1]).get("source_id")
        return [x for x in self._owner.viewer.layers if made_by(x).get("source_id") == source]

    # Files

    def ask_and_save(self) -> None:
        """Ask for a folder and write the results."""
        first = f"{made_by(self.results()[-1]).get('source', 'results')}.defocus"
        path, chosen = QFileDialog.getSaveFileName(self, "Save results", first, _FILES)
        if path:
            self.save_to(Path(path), zarr="zarr" in chosen)

    def save_to(self, path: Path, *, zarr: bool = False) -> None:
        """Write all results of the input into a folder."""
        from napari_defocus._saving import save_results  # with the library's readers and writers, not for every opening

        try:
            written = save_results(path, self.results(), zarr=zarr)
        except DefocusError as error:
            self._owner._fail(error)
            return
        self._owner.say(f"saved {len(written)} files in {written[0].parent}")

    def ask_and_save_preset(self) -> None:
        """Ask for a file and write the settings."""
        path, _ = QFileDialog.getSaveFileName(self, "Save preset", str(self._folder() / "preset.toml"), "TOML (*.toml)")
        if path:
            self.save_preset(Path(path).with_suffix(".toml"))

    def ask_and_open_preset(self) -> None:
        """Ask for a file and take its settings."""
        path, _ = QFileDialog.getOpenFileName(self, "Open preset", str(self._folder()), "TOML (*.toml)")
        if path:
            self.open_preset(Path(path))

    def save_preset(self, path: Path) -> None:
        """Write the settings as the command line takes them."""
        from defocus_backend.io import write_whole

        owner = self._owner
        comment = f"Settings of {owner.title} in napari-defocus; defocus batch --config {path.name} takes them too"
        try:
            write_whole(path, _settings.to_toml(to_preset(owner.key, owner.memory.values()), comment).encode())
        except DefocusError as error:
            owner._fail(error)
            return
        owner.say(f"saved {path.name}")

    def open_preset(self, path: Path) -> None:
        """Take the settings of a file; what the widget does not have is named."""
        owner = self._owner
        try:
            found: dict[str, Any] = from_preset(owner.key, _settings.read_preset(path))
        except DefocusError as error:
            owner._fail(error)
            return
        left = owner.memory.put(found)
        owner.say(f"took {path.name}" + (f"; not used here: {', '.join(left)}" if left else ""))

    def _folder(self) -> Path:
        folder = _settings.folder() / "presets"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
