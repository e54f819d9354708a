"""Options of what works through many files: which of them, in how many processes, and going on after an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defocus_backend.options import Params, option


@dataclass(frozen=True, kw_only=True)
class FindParams(Params):
    """Which files of folders belong to the work, and to which stack."""

    heading: ClassVar[str] = "Input"

    pattern: str = option("*", "In folders, only files whose names match.", metavar="GLOB", common=True)
    group_by: str | None = option(
        None,
        "For folders with the planes of many stacks: an expression with the groups (?P<stack>...) and, to order them "
        "by a number, (?P<slice>...), searched in each file's path below the folder.",
        kind=str,
        metavar="REGEX",
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class WorkParams(Params):
    """How much is done at once, and what an earlier run has done."""

    heading: ClassVar[str] = "Run"

    resume: bool = option(False, "Skip what an earlier run has finished with the same files and options.", common=True)
    retry: int = option(0, "Try what failed this many times more, after the others.", low=0, metavar="N")
    jobs: int | None = option(
        None,
        "Local processes; each takes the memory of a single run. By default one; `qc` takes one a core for many "
        "pictures.",
        kind=int,
        low=1,
        metavar="N",
        common=True,
    )
    threads: int | None = option(
        None,
        "Computing threads of a process. By default the cores are shared out; on a cluster its workers decide.",
        kind=int,
        low=1,
        metavar="N",
    )
    scheduler: str | None = option(
        None,
        "Send the work to this dask cluster, such as tcp://node1:8786, instead of local processes. Its workers must "
        "see all files under the same paths.",
        kind=str,
        metavar="ADDRESS",
    )
