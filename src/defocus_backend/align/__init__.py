"""Alignment of focal stacks: correct focus breathing, shifts and exposure before the slices are compared."""

from defocus_backend.align.alignment import Alignment
from defocus_backend.align.chain import align_stack
from defocus_backend.align.needed import AlignmentNeed, alignment_needed
from defocus_backend.align.odd import OddFrame
from defocus_backend.align.stack import AlignedStack, apply_alignment

__all__ = [
    "AlignedStack",
    "Alignment",
    "AlignmentNeed",
    "OddFrame",
    "align_stack",
    "alignment_needed",
    "apply_alignment",
]
