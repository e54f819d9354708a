"""Image filters on torch tensors (..., H, W), on any device: pure functions, one operator per file."""

from defocus_backend.filters.box import box_mean, box_sum
from defocus_backend.filters.cells import CellGrid, cell_mean
from defocus_backend.filters.gaussian import gaussian_blur
from defocus_backend.filters.guided import GuideStatistics, LocalLinearModel, guided_coefficients, guided_filter
from defocus_backend.filters.laplacian import laplacian, laplacian_variance
from defocus_backend.filters.weighted_guided import (
    edge_weight,
    smooth_guide,
    smooth_guide_model,
    weighted_guided_filter,
    weighted_statistics,
)

__all__ = [
    "CellGrid",
    "GuideStatistics",
    "LocalLinearModel",
    "box_mean",
    "box_sum",
    "cell_mean",
    "edge_weight",
    "gaussian_blur",
    "guided_coefficients",
    "guided_filter",
    "laplacian",
    "laplacian_variance",
    "smooth_guide",
    "smooth_guide_model",
    "weighted_guided_filter",
    "weighted_statistics",
]
