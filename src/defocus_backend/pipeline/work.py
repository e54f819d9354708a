"""Options of commands that process many files: selection of files, number of processes, and resuming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defocus_backend.options import Params, option


@dataclass(frozen=True, kw_only=True)
class FindParams(Params):
    """Options that select files in folders and assign them to stacks."""

    heading: ClassVar[str] = "Input"

    pattern: str = option(
        "*", "In folders, use only files whose names match this pattern.", metavar="GLOB", common=True
    )
    group_by: str | None = option(
        None,
        "Regular expression for folders with the planes of many stacks. It is searched in each file's path below the "
        "folder. The group (?P<stack>...) names the stack; the group (?P<slice>...), if any, is a number that orders "
        "the planes.",
        kind=str,
        metavar="REGEX",
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class WorkParams(Params):
    """Options for parallel work and for resuming an earlier run."""

    heading: ClassVar[str] = "Run"

    resume: bool = option(False, "Skip work that an earlier run finished with the same files and options.", common=True)
    retry: int = option(0, "Number of further attempts at failed work, after all the rest.", low=0, metavar="N")
    jobs: int | None = option(
        None,
        "Number of local processes. Each needs the memory of a single run. Default: 1; for `qc` with many pictures, "
        "one per core.",
        kind=int,
        low=1,
        metavar="N",
        common=True,
    )
    threads: int | None = option(
        None,
        "Number of computing threads per process. Default: the cores are shared between the processes; on a cluster, "
        "the workers' setting.",
        kind=int,
        low=1,
        metavar="N",
    )
    scheduler: str | None = option(
        None,
        "Send the work to this dask cluster, such as tcp://node1:8786, instead of local processes. The workers must "
        "see all files under the same paths.",
        kind=str,
        metavar="ADDRESS",
    )
