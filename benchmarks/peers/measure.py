"""Run one command and write what it took as JSON: python measure.py RESULT LOG SECONDS CORES COMMAND...

Linux counts the memory that a process had before it became the command, which is that of whoever started it. This
file therefore imports nothing large and is started as a process of its own, so that what is measured is the command's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OUT_OF_TIME = 124


def main(result: str, log: str, limit: str, cores: str, *command: str) -> None:
    """Wall and processor time in seconds, peak memory in bytes, exit status; all cores where `cores` is 0."""
    if int(cores):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    with Path(log).open("wb") as out:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(child.pid, signal.SIGKILL))
        signal.alarm(int(limit))
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except KeyboardInterrupt:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        seconds = time.perf_counter() - start
    late = seconds >= int(limit) and os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    found = {
        "seconds": seconds,
        "processor": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "status": OUT_OF_TIME if late else os.waitstatus_to_exitcode(status),
    }
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
