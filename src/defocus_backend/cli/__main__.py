"""``python -m defocus_backend.cli`` does the same as ``defocus``."""

from defocus_backend.cli.app import main

main(prog_name="defocus")
