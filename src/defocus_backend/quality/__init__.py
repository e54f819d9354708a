"""Focus of many pictures, measured: one number, one verdict and its reason for each."""

from defocus_backend.quality.focus import FocusQuality, ObjectQuality, QualityEstimator, focus_quality
from defocus_backend.quality.series import BestPlane, Drift, best_plane, drift

__all__ = [
    "BestPlane",
    "Drift",
    "FocusQuality",
    "ObjectQuality",
    "QualityEstimator",
    "best_plane",
    "drift",
    "focus_quality",
]
