"""Published methods for comparison, one per file; `defocus_backend.methods` lists them all.

`fuse_with` fuses a focal stack, `sharpen_with` sharpens an image, `compare.maps.map_with` maps its blur.
"""

from defocus_backend.compare.fusers import fuse_with
from defocus_backend.compare.sharpeners import sharpen_with
from defocus_backend.methods import FUSION_METHODS, SHARPEN_METHODS

__all__ = ["FUSION_METHODS", "SHARPEN_METHODS", "fuse_with", "sharpen_with"]
