"""Processing of many stacks with the same options, in one process, in several, or on a cluster."""

from defocus_backend.batch.many import Outcome, fuse_many

__all__ = ["Outcome", "fuse_many"]
