"""Focal stacks as one type, `SliceSource`, for slices from arrays, files and functions."""

from defocus_backend.stacks.changed import ChangedStack
from defocus_backend.stacks.channels import ChannelChoice
from defocus_backend.stacks.convert import as_source
from defocus_backend.stacks.files import FileStack, open_stack
from defocus_backend.stacks.plan import StackPlan
from defocus_backend.stacks.sensor import RepairedStack, repair_stack
from defocus_backend.stacks.source import SliceSource, StackLike

__all__ = [
    "ChangedStack",
    "ChannelChoice",
    "FileStack",
    "RepairedStack",
    "SliceSource",
    "StackLike",
    "StackPlan",
    "as_source",
    "open_stack",
    "repair_stack",
]
