"""Multi-focus fusion: a focal stack becomes one all-in-focus image (paper, section 5.3)."""

from defocus_backend.fusion.fuse import Fusion, fuse, fuse_by_index, fusion_option_names

__all__ = ["Fusion", "fuse", "fuse_by_index", "fusion_option_names"]
