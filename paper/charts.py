"""Charts of curves, drawn by matplotlib without any window."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence


def draw_curves(
    x: Sequence[float], curves: Mapping[str, Sequence[float]], *, x_label: str, y_label: str, title: str = ""
) -> bytes:
    """Draw named curves over one axis.

    Parameters
    ----------
    x : sequence of float
    curves : mapping of str to sequence of float
        A name that begins with "printed" is dashed.
    x_label, y_label, title : str

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in curves.items():
        axes.plot(x, values, label=name, linestyle="--" if name.startswith("printed") else "-")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
