"""Output of a command: works on streams that are closed, full or limited to ASCII, and prints warnings in one line."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import click

from defocus_backend.errors import DefocusWarning

_NOISY = ("tifffile", "PIL", "zarr", "numcodecs", "bioio", "fsspec", "distributed", "asyncio", "py.warnings")
"""Loggers of libraries that are silenced; this module prints the important messages itself."""


def say(message: str) -> None:
    """Print a message as one line on stderr."""
    click.echo(f"defocus: {' '.join(message.split())}", err=True)


@contextlib.contextmanager
def libraries_quiet() -> Iterator[None]:
    """Print each warning of this package once, in one line; hide warnings of other libraries."""
    said: set[str] = set()

    def show(message: Any, category: type[Warning], *_place: Any, **_more: Any) -> None:
        text = str(message)
        if issubclass(category, DefocusWarning) and text not in said:
            said.add(text)
            say(f"warning: {text}")

    silent = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in _NOISY]
    for logger in loggers:
        logger.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", DefocusWarning)
            warnings.showwarning = show
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(silent)


class _Lasting:
    """A text stream that drops all further text when it can no longer be written to.

    Attributes
    ----------
    error : OSError or None
        The reason why the stream cannot be written to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if self.error is None:
            with self._dropped():
                return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            with self._dropped():
                self._stream.flush()

    @contextlib.contextmanager
    def _dropped(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            # Python flushes again when it exits and would print an error.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, self._stream.fileno())
                os.close(sink)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Continue when stdout or stderr is closed, full or cannot encode a character; report a full stdout at the end."""
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        lasting = []
        for stream in before:
            if stream is None:
                stream = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
            lasting.append(_Lasting(stream))
        sys.stdout, sys.stderr = lasting
        try:
            yield
        finally:
            lasting[0].flush()
            lost = lasting[0].error
            if lost is not None and lost.errno not in (errno.EPIPE, errno.EBADF):
                say(f"stdout cannot be written to ({lost.strerror}); all files were written")
            lasting[1].flush()
            sys.stdout, sys.stderr = before
