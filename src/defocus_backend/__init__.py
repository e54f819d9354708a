"""Estimate the blur of every pixel, as a Gaussian sigma in pixels, and process images by it.

Defocus maps from a single image, adaptive sharpening, shallow depth of field and focus stacking, based on Galetto and
Deng, "Single image deep defocus estimation and its applications" (2021).

The import is fast: torch is loaded when a function that needs it is first called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from defocus_backend.align import (
        AlignedStack,
        Alignment,
        AlignmentNeed,
        align_stack,
        alignment_needed,
        apply_alignment,
    )
    from defocus_backend.batch import Outcome, fuse_many
    from defocus_backend.calibration import (
        Autofocus,
        ChannelCalibration,
        DefocusCalibration,
        DefocusDistance,
        autofocus,
        calibrate_defocus,
        defocus_distance,
        locate_focus,
        read_calibration,
        write_calibration,
    )
    from defocus_backend.classifier.weights import ModelCard, load_network, save_network, shipped_weights
    from defocus_backend.defocus import DefocusMap, defocus_map, in_focus
    from defocus_backend.errors import (
        Cancelled,
        DefocusError,
        DeviceError,
        FileError,
        InputError,
        WeightsError,
    )
    from defocus_backend.fusion.by_index import affected_pixels, decision_reach, fuse_by_index
    from defocus_backend.fusion.corrections import Corrected, fuse_corrected, pack_corrections, unpack_corrections
    from defocus_backend.fusion.coverage import Coverage, coverage
    from defocus_backend.fusion.fuse import fuse, fuse_nd
    from defocus_backend.fusion.result import Fusion
    from defocus_backend.fusion.tilt import Plane, best_slice, plane_tilt
    from defocus_backend.io import (
        Calibration,
        Channel,
        ImageND,
        Metadata,
        Picture,
        open_nd,
        read_image,
        read_map,
        write_image,
        write_map,
        write_nd,
    )
    from defocus_backend.io.mesh import write_mesh
    from defocus_backend.params import (
        AlignParams,
        BlendParams,
        DecisionParams,
        FusionParams,
        MapParams,
        QualityParams,
        ShallowParams,
        SharpenParams,
        SliceMapParams,
    )
    from defocus_backend.pipeline import (
        FuseFiles,
        Made,
        MapFiles,
        ShallowFiles,
        SharpenFiles,
        SurfaceFiles,
        fuse_files,
        map_files,
        shallow_files,
        sharpen_files,
        surface_files,
    )
    from defocus_backend.quality import BestPlane, Drift, FocusQuality, ObjectQuality, best_plane, drift, focus_quality
    from defocus_backend.shallow import ShallowDepthOfField, ShallowRenderer, shallow_depth_of_field, shallow_weights
    from defocus_backend.sharpen import Sharpened, Sharpener, gain_map, sharpen
    from defocus_backend.stacks import (
        FileStack,
        RepairedStack,
        SliceSource,
        StackPlan,
        as_source,
        open_stack,
        repair_stack,
    )

    __version__: str

_HOMES = {
    "align": ("AlignedStack", "Alignment", "AlignmentNeed", "align_stack", "alignment_needed", "apply_alignment"),
    "batch": ("Outcome", "fuse_many"),
    "calibration": (
        *("Autofocus", "ChannelCalibration", "DefocusCalibration", "DefocusDistance", "autofocus"),
        *("calibrate_defocus", "defocus_distance", "locate_focus", "read_calibration", "write_calibration"),
    ),
    "classifier.weights": ("ModelCard", "load_network", "save_network", "shipped_weights"),
    "defocus": ("DefocusMap", "defocus_map", "in_focus"),
    "errors": ("Cancelled", "DefocusError", "DeviceError", "FileError", "InputError", "WeightsError"),
    "fusion": ("Fusion", "affected_pixels", "decision_reach", "fuse", "fuse_by_index", "fuse_nd"),
    "fusion.corrections": ("Corrected", "fuse_corrected", "pack_corrections", "unpack_corrections"),
    "fusion.coverage": ("Coverage", "coverage"),
    "fusion.tilt": ("Plane", "best_slice", "plane_tilt"),
    "io": (
        *("Calibration", "Channel", "ImageND", "Metadata", "Picture", "open_nd", "read_image"),
        *("read_map", "write_image", "write_map", "write_nd"),
    ),
    "io.mesh": ("write_mesh",),
    "params": (
        *("AlignParams", "BlendParams", "DecisionParams", "FusionParams", "MapParams"),
        *("QualityParams", "ShallowParams", "SharpenParams", "SliceMapParams"),
    ),
    "pipeline": (
        *("FuseFiles", "Made", "MapFiles", "ShallowFiles", "SharpenFiles", "SurfaceFiles"),
        *("fuse_files", "map_files", "shallow_files", "sharpen_files", "surface_files"),
    ),
    "quality": ("BestPlane", "Drift", "FocusQuality", "ObjectQuality", "best_plane", "drift", "focus_quality"),
    "shallow": ("ShallowDepthOfField", "ShallowRenderer", "shallow_depth_of_field", "shallow_weights"),
    "sharpen": ("Sharpened", "Sharpener", "gain_map", "sharpen"),
    "stacks": ("FileStack", "RepairedStack", "SliceSource", "StackPlan", "as_source", "open_stack", "repair_stack"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = {
    name: name for name in ("calibration", "compare", "methods", "metrics", "pipeline", "quality", "render", "surface")
}
_MODULES["scenes"] = "synthetic.scenes"

__all__ = [
    "AlignParams",
    "AlignedStack",
    "Alignment",
    "AlignmentNeed",
    "Autofocus",
    "BestPlane",
    "BlendParams",
    "Calibration",
    "Cancelled",
    "Channel",
    "ChannelCalibration",
    "Corrected",
    "Coverage",
    "DecisionParams",
    "DefocusCalibration",
    "DefocusDistance",
    "DefocusError",
    "DefocusMap",
    "DeviceError",
    "Drift",
    "FileError",
    "FileStack",
    "FocusQuality",
    "FuseFiles",
    "Fusion",
    "FusionParams",
    "ImageND",
    "InputError",
    "Made",
    "MapFiles",
    "MapParams",
    "Metadata",
    "ModelCard",
    "ObjectQuality",
    "Outcome",
    "Picture",
    "Plane",
    "QualityParams",
    "RepairedStack",
    "ShallowDepthOfField",
    "ShallowFiles",
    "ShallowParams",
    "ShallowRenderer",
    "SharpenFiles",
    "SharpenParams",
    "Sharpened",
    "Sharpener",
    "SliceMapParams",
    "SliceSource",
    "StackPlan",
    "SurfaceFiles",
    "WeightsError",
    "__version__",
    "affected_pixels",
    "align_stack",
    "alignment_needed",
    "apply_alignment",
    "as_source",
    "autofocus",
    "best_plane",
    "best_slice",
    "calibrate_defocus",
    "coverage",
    "decision_reach",
    "defocus_distance",
    "defocus_map",
    "drift",
    "focus_quality",
    "fuse",
    "fuse_by_index",
    "fuse_corrected",
    "fuse_files",
    "fuse_many",
    "fuse_nd",
    "gain_map",
    "in_focus",
    "load_network",
    "locate_focus",
    "map_files",
    "open_nd",
    "open_stack",
    "pack_corrections",
    "plane_tilt",
    "read_calibration",
    "read_image",
    "read_map",
    "repair_stack",
    "save_network",
    "shallow_depth_of_field",
    "shallow_files",
    "shallow_weights",
    "sharpen",
    "sharpen_files",
    "shipped_weights",
    "surface_files",
    "unpack_corrections",
    "write_calibration",
    "write_image",
    "write_map",
    "write_mesh",
    "write_nd",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("napari-defocus")
    elif name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"{__name__}.{_MODULES[name]}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


class _Package(ModuleType):
    """Module type of the package, so that `sharpen` is the function although a module of that name exists.

    Every import of a submodule binds it as an attribute of its package, and would replace the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
