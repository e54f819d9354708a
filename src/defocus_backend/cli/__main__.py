"""``python -m defocus_backend.cli`` does the same as ``defocus``."""

from defocus_backend.cli.app import main

if __name__ == "__main__":
    main(prog_name="defocus")
