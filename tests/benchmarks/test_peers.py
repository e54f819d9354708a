"""The gate of the open benchmark: our picture and height on stacks with truth are no worse than the stated floor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"


def test_ours_passes_its_gate() -> None:
    done = subprocess.run(
        [sys.executable, str(PEERS), "--gate"], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert "**ours**" in done.stdout
