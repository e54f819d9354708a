"""Operations from files to files, as run by the commands `map`, `sharpen`, `fuse`, `qc` and others."""

from defocus_backend.pipeline.calibrate import CalibrateFiles, calibrate_files
from defocus_backend.pipeline.fuse import fuse_files
from defocus_backend.pipeline.measure import MeasureFiles, MeasureResult, measure_files
from defocus_backend.pipeline.options import FuseFiles, MapFiles, ShallowFiles, SharpenFiles
from defocus_backend.pipeline.pictures import map_files, shallow_files, sharpen_files
from defocus_backend.pipeline.run import Listener, Made, Output
from defocus_backend.pipeline.surface import SurfaceFiles, surface_files

__all__ = [
    "CalibrateFiles",
    "FuseFiles",
    "Listener",
    "Made",
    "MapFiles",
    "MeasureFiles",
    "MeasureResult",
    "Output",
    "ShallowFiles",
    "SharpenFiles",
    "SurfaceFiles",
    "calibrate_files",
    "fuse_files",
    "map_files",
    "measure_files",
    "shallow_files",
    "sharpen_files",
    "surface_files",
]
