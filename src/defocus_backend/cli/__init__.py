"""The command line ``defocus``. The import is fast, because each command loads its modules when it runs."""

from defocus_backend.cli.app import main

__all__ = ["main"]
