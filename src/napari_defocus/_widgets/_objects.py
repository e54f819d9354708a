"""Mean sigma of every object of a Labels layer, as a table that can be saved."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHeaderView,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)


def columns(unit: str = "px") -> tuple[str, ...]:
    """Headings of the table, for a map in this unit."""
    mean = "mean sigma [px]" if unit == "px" else "mean blur [relative]"
    return ("label", "area [px]", mean, "std", "min", "max")


_PROPERTIES = ("label", "num_pixels", "intensity_mean", "intensity_std", "intensity_min", "intensity_max")


def measure(labels: NDArray[Any], sigma: NDArray[Any]) -> list[tuple[float, ...]]:
    """A row per object: label, pixels with a value, mean, deviation, least and greatest sigma in pixels."""
    from skimage.measure import regionprops_table

    known = np.where(np.isfinite(sigma), labels, 0)
    table = regionprops_table(known, intensity_image=np.nan_to_num(sigma), properties=_PROPERTIES)
    return list(zip(*(table[name].tolist() for name in _PROPERTIES), strict=True))


_DECIMALS = 2
"""Shown; the file has all digits."""
_HEADINGS = ("label", "area", "mean", "std", "min", "max")
"""Short enough for all columns to fit a dock; the units are in their tooltips and in the file."""


def save(rows: list[tuple[float, ...]], path: Path, unit: str = "px") -> None:
    """Write the table as CSV, whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns(unit))
        writer.writerows(rows)
    part.replace(path)


class ObjectTable(QWidget):
    """The table and the button that saves it.

    Signals
    -------
    chosen : int
        Label of the row that was clicked.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[tuple[float, ...]] = []
        self.unit = "px"
        self.table = QTableWidget(0, len(columns()))
        self.set_unit("px")
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setToolTip("Sigma in pixels of the defocus map under each object; a click sorts a column.")
        self.table.setMinimumHeight(170)
        header, numbers = self.table.horizontalHeader(), self.table.verticalHeader()
        if header is not None and numbers is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            header.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
            numbers.setVisible(False)
        self.table.setAccessibleName("blur of every object")
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.currentCellChanged.connect(self._choose)
        self.save_button = QPushButton("Save table ...")
        self.save_button.setToolTip("Write the table as a CSV file.")
        self.save_button.setEnabled(False)
        self.save_button.clicked.connect(self.ask_and_save)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addWidget(self.save_button)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)

    def set_unit(self, unit: str) -> None:
        """Say which unit the next rows are in."""
        self.unit = unit
        self.table.setHorizontalHeaderLabels(_HEADINGS)
        for column, text in enumerate(columns(unit)):
            item = self.table.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(text)

    def show_rows(self, rows: list[tuple[float, ...]]) -> None:
        """Fill the table."""
        self.rows = rows
        self.table.setSortingEnabled(False)
        self.table.setRowCount(len(rows))
        for y, values in enumerate(rows):
            for x, value in enumerate(values):
                item = QTableWidgetItem()
                item.setData(Qt.ItemDataRole.DisplayRole, int(value) if x < 2 else round(float(value), _DECIMALS))
                self.table.setItem(y, x, item)
        self.table.setSortingEnabled(True)
        self.save_button.setEnabled(bool(rows))

    def features(self) -> dict[str, NDArray[Any]]:
        """The table by columns for ``layer.features``, whose rows are counted from label 0."""
        names = columns(self.unit)
        top = int(max((row[0] for row in self.rows), default=0))
        table = {name: np.full(top + 1, np.nan) for name in names[1:]}
        for row in self.rows:
            for name, value in zip(names[1:], row[1:], strict=True):
                table[name][int(row[0])] = value
        return {"label": np.arange(top + 1), **table}

    def _choose(self, row: int, *_: int) -> None:
        item = self.table.item(row, 0)
        if item is not None:
            self.chosen.emit(int(item.data(Qt.ItemDataRole.DisplayRole)))

    def ask_and_save(self) -> None:
        """Ask for a file and write the table."""
        path, _ = QFileDialog.getSaveFileName(self, "Save table", "sigma.csv", "CSV (*.csv)")
        if path:
            save(self.rows, Path(path), self.unit)
