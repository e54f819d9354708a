"""A stack is complete when it has not changed for a while, on a clock that the test turns."""

from __future__ import annotations

from pathlib import Path

from defocus_backend.batch.find import Finder, Found
from defocus_backend.batch.job import Job
from defocus_backend.batch.watch import FolderWatch


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def watch(folder: Path, clock: Clock, until_idle: float | None = None) -> FolderWatch:
    def order(found: Found) -> Job:
        return Job(found.name, found.files)

    finder = Finder([folder])
    return FolderWatch(lambda: finder.scan()[0], order, settle=10, until_idle=until_idle, clock=clock)


def frame(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def test_a_stack_that_fills_is_given_once_when_it_has_settled(tmp_path: Path) -> None:
    clock = Clock()
    source = watch(tmp_path, clock)
    assert source.more() == []
    for n in range(4):
        frame(tmp_path / "s" / f"{n}.jpg")
        clock.now += 9  # slower than a frame a second, faster than it settles
        assert source.more() == []
    assert source.unsettled == 1
    clock.now += 9.5
    assert source.more() == []
    clock.now += 1.5
    jobs = source.more()
    assert jobs is not None
    assert [(job.name, len(job.files)) for job in jobs] == [("s", 4)]
    assert source.unsettled == 0
    clock.now += 100
    assert source.more() == []


def test_old_times_of_change_do_not_count_as_settled(tmp_path: Path) -> None:
    import os

    clock = Clock()
    source = watch(tmp_path, clock)
    for n in range(2):
        frame(tmp_path / "s" / f"{n}.jpg")
        os.utime(tmp_path / "s" / f"{n}.jpg", (1, 1))
    assert source.more() == []
    clock.now += 5
    assert source.more() == []


def test_a_stack_that_changes_later_is_given_again(tmp_path: Path) -> None:
    clock = Clock()
    source = watch(tmp_path, clock)
    given = []
    for step in range(6):
        if step == 0:
            for n in range(2):
                frame(tmp_path / "s" / f"{n}.jpg")
        if step == 3:
            frame(tmp_path / "s" / "1.jpg", b"longer")
        given.append(len(source.more() or []))
        clock.now += 11
    assert given == [0, 1, 0, 0, 1, 0]


def test_it_ends_when_idle_but_not_before_the_last_stack(tmp_path: Path) -> None:
    clock = Clock()
    source = watch(tmp_path, clock, until_idle=3)
    for n in range(2):
        frame(tmp_path / "s" / f"{n}.jpg")
    assert source.more() == []
    clock.now += 5
    assert source.more() == []  # idle already, but a stack is still settling
    clock.now += 6
    jobs = source.more()
    assert jobs is not None
    assert len(jobs) == 1
    clock.now += 2
    assert source.more() is None


def test_looks_are_not_repeated_within_a_period() -> None:
    clock = Clock()
    looks: list[float] = []

    def find() -> list[Found]:
        looks.append(clock())
        return []

    source = FolderWatch(find, lambda found: Job(found.name, found.files), settle=10, period=1, clock=clock)
    for _ in range(30):
        source.more()
        clock.now += 0.1
    assert 3 <= len(looks) <= 4
