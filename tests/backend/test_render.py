"""Pictures of maps: colours stand for fixed values, whatever else the map holds."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from defocus_backend.errors import InputError
from defocus_backend.render import Scale, SheetPanel, draw_contact_sheet, draw_map, draw_shaded


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def colour_in_the_map(data: bytes) -> np.ndarray:
    return decoded(data)[100, 100]


def test_a_value_has_the_same_colour_in_every_map() -> None:
    from matplotlib import colormaps

    low, high = np.full((300, 300), 4.0), np.full((300, 300), 4.0)
    high[250:] = 19
    expected = np.array(colormaps["viridis"](4 / 19)[:3]) * 255
    for values in (low, high):
        np.testing.assert_allclose(colour_in_the_map(draw_map(values)), expected, atol=1.5)


def test_nan_is_gray() -> None:
    values = np.full((300, 300), np.nan)
    red, green, blue = colour_in_the_map(draw_map(values))
    assert red == green == blue
    values[:150] = 3
    assert len(set(colour_in_the_map(draw_map(values)))) > 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (37, 53), (3000, 2000)])
def test_pictures_are_of_a_size_that_can_be_looked_at(shape: tuple[int, int]) -> None:
    picture = decoded(draw_map(np.zeros(shape), title="nothing"))
    assert 100 < picture.shape[0] < 1800
    assert 100 < picture.shape[1] < 1800


def test_the_bar_says_where_the_scale_ends() -> None:
    narrow = decoded(draw_map(np.zeros((200, 200)), Scale(low=0, high=5)))
    wide = decoded(draw_map(np.zeros((200, 200)), Scale(low=0, high=19)))
    assert (narrow[:, 220:] != wide[:, 220:]).any()


def test_contact_sheet_holds_pictures_of_any_kind() -> None:
    panels = [
        SheetPanel("gray", np.zeros((40, 60), np.uint8)),
        SheetPanel("colour", np.zeros((40, 60, 3), np.uint8)),
        SheetPanel("alpha", np.zeros((40, 60, 4), np.uint8)),
        SheetPanel("16 bit", np.arange(2400, dtype=np.uint16).reshape(40, 60)),
        SheetPanel("float with NaN", np.full((40, 60), np.nan)),
        SheetPanel("mask", np.zeros((40, 60), bool)),
        SheetPanel("map", np.zeros((90, 60)), Scale()),
    ]
    three, seven = (decoded(draw_contact_sheet(panels, columns=c)) for c in (3, 7))
    assert three.shape[0] > seven.shape[0]
    assert three.shape[1] < seven.shape[1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1)])
def test_a_height_of_one_row_or_column_is_shaded(shape: tuple[int, int]) -> None:
    assert decoded(draw_shaded(np.zeros(shape))).ndim == 3


def test_refusals() -> None:
    with pytest.raises(InputError, match="values"):
        draw_map(np.zeros((3, 4, 5)))
    with pytest.raises(InputError, match="scale"):
        Scale(low=3, high=3)
    with pytest.raises(InputError, match="panels"):
        draw_contact_sheet([])


def test_drawing_touches_no_global_figure() -> None:
    """pyplot would pick a window system and keep figures alive."""
    code = (
        "import sys, numpy as np; from defocus_backend.render import draw_map\n"
        "assert 'matplotlib' not in sys.modules\n"
        "draw_map(np.zeros((9, 9)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
