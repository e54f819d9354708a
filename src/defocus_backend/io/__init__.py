"""Read and write pictures, maps and multi-dimensional images; files are written completely or not at all."""

from defocus_backend.io.atomic import WholeFiles, check_folder, write_whole
from defocus_backend.io.formats import (
    FORMATS,
    MESH_FORMATS,
    ND_FORMATS,
    READ_SUFFIXES,
    WRITTEN_SUFFIXES,
    Format,
    FormatND,
    MeshFormat,
    is_store,
)
from defocus_backend.io.open_nd import is_nd, open_nd
from defocus_backend.io.picture import Metadata, Picture
from defocus_backend.io.reading import read_image, read_map
from defocus_backend.io.volumes import AXES, Calibration, Channel, ImageND, check_axes
from defocus_backend.io.writing import encode_image, encode_map, write_image, write_map
from defocus_backend.io.writing_nd import create_nd, write_nd

__all__ = [
    "AXES",
    "FORMATS",
    "MESH_FORMATS",
    "ND_FORMATS",
    "READ_SUFFIXES",
    "WRITTEN_SUFFIXES",
    "Calibration",
    "Channel",
    "Format",
    "FormatND",
    "ImageND",
    "MeshFormat",
    "Metadata",
    "Picture",
    "WholeFiles",
    "check_axes",
    "check_folder",
    "create_nd",
    "encode_image",
    "encode_map",
    "is_nd",
    "is_store",
    "open_nd",
    "read_image",
    "read_map",
    "write_image",
    "write_map",
    "write_nd",
    "write_whole",
]
