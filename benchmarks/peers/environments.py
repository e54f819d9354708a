"""A separate environment for every peer, outside the repository, which is built once and reused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
"""Holds torch to its CPU build: unpinned, Linux would fetch several gigabytes of CUDA libraries."""

LIMIT = 1.5e9
"""Bytes that an environment may take."""

_READY = "ready"


class Unavailable(Exception):
    """A peer is not available; the message states the reason."""


@dataclass(frozen=True)
class Environment:
    """How to set up one peer.

    Attributes
    ----------
    name : str
        Folder of the environment.
    wanted : str
        What to install: a requirement for pip, or the name of a Debian package.
    python : (int, int) or None
        Oldest Python that it runs on; None for a Debian package.
    """

    name: str
    wanted: str
    python: tuple[int, int] | None


def build(environment: Environment, where: Path) -> Path:
    """Set an environment up, unless it is there, and return its folder.

    Raises
    ------
    Unavailable
        If it cannot be installed, or takes more than `LIMIT`.
    """
    folder = where / environment.name
    if (folder / _READY).exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make: Callable[[Environment, Path], None] = _debian if environment.python is None else _virtual
    try:
        make(environment, folder)
        size = sum(p.lstat().st_size for p in folder.rglob("*") if not p.is_dir())
        if size > LIMIT:
            raise Unavailable(f"takes {size / 1e9:.1f} GB, more than {LIMIT / 1e9:.1f}")
    except Unavailable:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / _READY).touch()
    return folder


def _virtual(environment: Environment, folder: Path) -> None:
    assert environment.python is not None
    _run([_interpreter(environment.python), "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-c", str(CONSTRAINTS), environment.wanted])


def _interpreter(oldest: tuple[int, int]) -> str:
    """The interpreter that runs this, or another one on the machine that is new enough."""
    if sys.version_info >= oldest:
        return sys.executable
    newer = [f"{oldest[0]}.{minor}" for minor in range(oldest[1], oldest[1] + 3)]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in newer:
        found = [shutil.which(f"python{version}"), *sorted(versions.glob(f"{version}.*/bin/python"))]
        for candidate in filter(None, found):
            # What lies in PATH may be a shim for an interpreter that is not chosen.
            if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
                return str(candidate)
    raise Unavailable(f"needs Python {newer[0]} or newer, which is not on this machine")


def _debian(environment: Environment, folder: Path) -> None:
    """A Debian package with what it needs beyond this machine, unpacked and not installed."""
    if not shutil.which("apt-get"):
        raise Unavailable("comes as a Debian package, and this machine has no apt-get")
    plan = _run(["apt-get", "install", "--simulate", "--no-install-recommends", environment.wanted])
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    # Already installed: then it is in the PATH.
    if names:
        _run(["apt-get", "download", *names], folder)
    for package in folder.glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(folder)])
        package.unlink()


def _run(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
        raise Unavailable(f"{Path(command[0]).name} says: {lines[-1].strip()[:200]}")
    return done.stdout
