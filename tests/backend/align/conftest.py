"""Drifting frames whose motion is known, cut from one photograph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import ndimage


@dataclass(frozen=True)
class Drift:
    """Frames (N, H, W) float64 in 0 .. 1, and the pixels (x, y) of each by those of the middle one."""

    frames: np.ndarray
    matrices: np.ndarray

    def errors(self, matrices: np.ndarray) -> np.ndarray:
        """RMS distance in pixels of each frame's transform from the truth, over a grid of points of the picture."""
        height, width = self.frames.shape[1:3]
        x, y = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9))
        points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        found, true = (m @ points for m in (matrices, self.matrices))
        distance = found[:, :2] / found[:, 2:] - true[:, :2] / true[:, 2:]
        return np.sqrt((distance**2).sum(1).mean(1))


def drifting(
    photo: np.ndarray,
    motions: list[tuple[float, float, float, float]],
    *,
    side: int = 192,
    blurs: list[tuple[float, float]] | None = None,
    noise: float = 0.0,
    bend: np.ndarray | None = None,
) -> Drift:
    """Frames of a photograph by their shift x, y (px), scale and rotation (radians) about the middle.

    `blurs` gives each frame's sigma at its left and right edge: the plane of focus is tilted.
    """
    rng = np.random.default_rng(0)
    sharp = photo / 255.0
    middle, corner = (side - 1) / 2, [(n - side) / 2 for n in photo.shape]
    ways = []
    for number, (x, y, scale, angle) in enumerate(motions):
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        way = np.eye(3)
        way[:2, :2] = turn
        way[:2, 2] = middle + np.array([x, y]) - turn @ [middle, middle]
        ways.append(way if bend is None else way @ np.linalg.matrix_power(bend, number))
    frames = []
    for number, way in enumerate(ways):
        # From the frame's pixels to those of the photograph, rows first as SciPy has them.
        back = np.linalg.inv(way)
        rows, columns = np.mgrid[:side, :side]
        source = back @ np.stack([columns.ravel(), rows.ravel(), np.ones(side * side)])
        where = [source[1] / source[2] + corner[0], source[0] / source[2] + corner[1]]
        left, right = blurs[number] if blurs else (0.0, 0.0)
        share = np.clip((np.asarray(where[1]) - corner[1]) / side, 0, 1)
        ends = [
            ndimage.map_coordinates(ndimage.gaussian_filter(sharp, s), where, order=3, mode="nearest")
            for s in (left, right)
        ]
        frames.append(((1 - share) * ends[0] + share * ends[1]).reshape(side, side))
    values = np.stack(frames) + noise * rng.standard_normal((len(frames), side, side))
    start = np.linalg.inv(ways[len(ways) // 2])
    return Drift(np.clip(values, 0, 1), np.stack([way @ start for way in ways]))


def walk(count: int = 12, *, scale: float = 0.008, seed: int = 3) -> list[tuple[float, float, float, float]]:
    """A random walk with breathing: steps of 1.5 px, 0.2 degrees, and `scale` a frame on top of 0.2 %."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((count, 4)) * [1.5, 1.5, 0.002, 0.0035] + [0, 0, scale, 0]
    x, y, size, angle = steps.cumsum(0).T
    return list(zip(x, y, np.exp(size), angle, strict=True))


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Pictures this small take longer to share between threads than to compute, the more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """A sharp gray photograph (512, 512) uint8."""
    from skimage import data

    return data.camera()


@pytest.fixture(scope="session")
def focusing(scene: np.ndarray) -> Drift:
    """Twelve noisy frames that drift and breathe while the focus goes from the left to the right."""
    blurs = [(0.3 * n, 0.3 * (11 - n)) for n in range(12)]
    return drifting(scene, walk(), blurs=blurs, noise=0.01)


@pytest.fixture(scope="session")
def make() -> Callable[..., Drift]:
    """`drifting`, for tests that need frames of their own."""
    return drifting
