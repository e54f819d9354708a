"""The only place that knows dtype, value range, channel axis and NaN: numpy arrays in, torch out, and back."""

from defocus_backend.arrays.checks import hidden_pixels
from defocus_backend.arrays.image import Image, as_image, as_image_and_map, as_map, to_map

__all__ = ["Image", "as_image", "as_image_and_map", "as_map", "hidden_pixels", "to_map"]
