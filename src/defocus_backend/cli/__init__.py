"""The command line ``defocus``. Importing it is cheap; each command loads what it needs."""

from defocus_backend.cli.app import main

__all__ = ["main"]
