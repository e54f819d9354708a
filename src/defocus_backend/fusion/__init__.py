"""Multi-focus fusion: a focal stack becomes one all-in-focus image (paper, section 5.3)."""

from defocus_backend.fusion.by_index import fuse_by_index
from defocus_backend.fusion.fuse import Fusion, fuse, fusion_option_names
from defocus_backend.fusion.nd import StackPlan, fuse_each, fuse_nd

__all__ = ["Fusion", "StackPlan", "fuse", "fuse_by_index", "fuse_each", "fuse_nd", "fusion_option_names"]
