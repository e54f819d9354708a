"""Settings that outlast a session, and named presets, as TOML files."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from defocus_backend.errors import FileError

FOLDER = "NAPARI_DEFOCUS_SETTINGS"
"""Environment variable that names another folder for the settings."""


def folder() -> Path:
    """Where the settings lie: a folder of this plugin in the user's configuration."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    from platformdirs import user_config_dir  # comes with napari

    return Path(user_config_dir("napari-defocus"))


_writing: list[threading.Thread] = []


def load(name: str) -> dict[str, Any]:
    """The settings of one widget as they were saved last; empty where there are none that can be read."""
    while _writing:
        _writing.pop().join()
    try:
        return tomllib.loads((folder() / f"{name}.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def save(name: str, values: Mapping[str, Any]) -> None:
    """Keep the settings of one widget; without a place to write them they are lost with the session.

    They are written beside the window: a folder may lie on a slow disk.
    """
    path, text = folder() / f"{name}.toml", to_toml(values).encode()

    def write() -> None:
        from defocus_backend.io import write_whole

        with contextlib.suppress(OSError, FileError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)

    for earlier in _writing:
        earlier.join()
    _writing[:] = [threading.Thread(target=write, name="napari-defocus: settings")]
    _writing[0].start()


def read_preset(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise `FileError` if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: cannot be read ({error})") from error


def to_toml(values: Mapping[str, Any], comment: str = "") -> str:
    """Plain values as TOML, one a line; those that are None are left out."""
    lines = [f"# {comment}"] if comment else []
    lines += [f"{name} = {_value(value)}" for name, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return json.dumps(str(value))
