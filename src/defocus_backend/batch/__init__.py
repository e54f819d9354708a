"""Many stacks with the same options: found in folders, each done once, in one process, several, or on a cluster."""

from defocus_backend.batch.many import Outcome, fuse_many

__all__ = ["Outcome", "fuse_many"]
