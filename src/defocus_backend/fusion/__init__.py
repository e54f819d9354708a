"""Multi-focus fusion of a focal stack into one all-in-focus image (paper, section 5.3)."""

from defocus_backend.fusion.by_index import affected_pixels, decision_reach, fuse_by_index
from defocus_backend.fusion.fuse import fuse, fuse_each, fuse_nd
from defocus_backend.fusion.result import MAP_TYPES, Fusion
from defocus_backend.fusion.settings import FusionSettings

__all__ = [
    "MAP_TYPES",
    "Fusion",
    "FusionSettings",
    "affected_pixels",
    "decision_reach",
    "fuse",
    "fuse_by_index",
    "fuse_each",
    "fuse_nd",
]
