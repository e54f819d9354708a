"""Pictures, focal stacks and maps in files: PNG, JPEG and TIFF, written whole or not at all."""

from defocus_backend.io.atomic import WholeFiles, check_folder, write_whole
from defocus_backend.io.reading import WRITTEN_SUFFIXES, Metadata, Picture, read_image, read_map
from defocus_backend.io.stacks import Stack, open_stack
from defocus_backend.io.writing import encode_image, encode_map, write_image, write_map

__all__ = [
    "WRITTEN_SUFFIXES",
    "Metadata",
    "Picture",
    "Stack",
    "WholeFiles",
    "check_folder",
    "encode_image",
    "encode_map",
    "open_stack",
    "read_image",
    "read_map",
    "write_image",
    "write_map",
    "write_whole",
]
