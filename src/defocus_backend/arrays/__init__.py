"""Conversion between NumPy arrays and torch tensors: dtype, value range, channel axis and missing pixels.

`as_image` is used by the methods of this package: float32 tensors in the unit range, with missing pixels and alpha.
`as_float64` and `as_float64_stack` are used by published methods: float64 arrays on the scale of 8-bit images, rounded
as in the original programs.
"""

from defocus_backend.arrays.checks import hidden_pixels
from defocus_backend.arrays.eight_bit import (
    BYTE_WHITE,
    Float64,
    Float64Stack,
    as_bytes,
    as_float64,
    as_float64_stack,
    float_white,
    gray_float64,
    half_up,
)
from defocus_backend.arrays.image import GRAY_LIMITS, Image, as_image, as_image_and_map, as_map, to_map

__all__ = [
    "BYTE_WHITE",
    "GRAY_LIMITS",
    "Float64",
    "Float64Stack",
    "Image",
    "as_bytes",
    "as_float64",
    "as_float64_stack",
    "as_image",
    "as_image_and_map",
    "as_map",
    "float_white",
    "gray_float64",
    "half_up",
    "hidden_pixels",
    "to_map",
]
