"""Measurement of the focus of pictures: sigma, a verdict and its reason for each."""

from defocus_backend.quality.focus import QualityEstimator, focus_quality
from defocus_backend.quality.result import FocusQuality, ObjectQuality
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
