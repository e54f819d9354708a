"""Use of height maps: roughness, profiles, refocused pictures and stereo views."""

from defocus_backend.surface.animation import write_animation
from defocus_backend.surface.form import level_height
from defocus_backend.surface.profile import HeightProfile, height_profile
from defocus_backend.surface.refocus import refocus
from defocus_backend.surface.roughness import Roughness, roughness
from defocus_backend.surface.views import anaglyph, parallax_view, rocking_views, side_by_side, stereo_pair

__all__ = [
    "HeightProfile",
    "Roughness",
    "anaglyph",
    "height_profile",
    "level_height",
    "parallax_view",
    "refocus",
    "rocking_views",
    "roughness",
    "side_by_side",
    "stereo_pair",
    "write_animation",
]
