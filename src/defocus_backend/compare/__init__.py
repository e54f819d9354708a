"""Published methods to compare with, one a file, each kind in a registry of its own.

`FUSION_METHODS` fuse a focal stack, `SHARPEN_METHODS` sharpen an image, `MAP_METHODS` in `compare.maps` tell how
blurred every pixel is.
"""

from defocus_backend.compare.fusers import FUSION_METHODS, FusionMethod, fuse_with
from defocus_backend.compare.sharpeners import SHARPEN_METHODS, SharpenMethod, sharpen_with

__all__ = [
    "FUSION_METHODS",
    "SHARPEN_METHODS",
    "FusionMethod",
    "SharpenMethod",
    "fuse_with",
    "sharpen_with",
]
