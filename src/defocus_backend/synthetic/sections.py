"""Optical sections and widefield slices of a drawn three-dimensional specimen, with ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from defocus_backend.synthetic.degrade import Gray, blur


@dataclass(frozen=True)
class Specimen:
    """A specimen in a microscope, sharp to the pixel.

    Attributes
    ----------
    light : (N, H, W) float32 array
        Light from each depth in gray values; 0 where there is none.
    """

    light: Gray

    def sections(self, core: float = 1.0, axial: float = 1.0) -> Gray:
        """Slices of a confocal or light-sheet microscope without noise, (N, H, W) gray values.

        Parameters
        ----------
        core : float
            Lateral sigma of the point spread function in pixels.
        axial : float
            Axial sigma of the point spread function in slices.
        """
        along = ndimage.gaussian_filter1d(self.light, axial, axis=0, mode="constant")
        return np.stack([blur(plane, core) for plane in along])

    def widefield(self, core: float = 1.0, growth: float = 1.5) -> Gray:
        """Slices of a widefield microscope without noise: light of all depths, (N, H, W) gray values.

        Parameters
        ----------
        core : float
            Sigma in pixels in focus.
        growth : float
            Increase of sigma in pixels per slice of distance.
        """
        count = len(self.light)
        slices = np.zeros_like(self.light)
        for depth, plane in enumerate(self.light):
            if plane.any():
                for n in range(count):
                    slices[n] += blur(plane, float(np.hypot(core, growth * (n - depth))))
        return slices

    def empty(self, margin: float) -> np.ndarray:
        """Mask (H, W) of pixels without light at any depth within this distance in pixels."""
        return np.asarray(ndimage.distance_transform_edt(~(self.light > 0).any(axis=0)) > margin)


def draw_specimen_in_depth(
    count: int,
    side: int,
    rng: np.random.Generator,
    *,
    nuclei: int = 5,
    threads: int = 4,
    spots: int = 30,
) -> Specimen:
    """Draw nuclei with bright envelopes and a grainy interior, threads and spots at all depths, in half of the field.

    Parameters
    ----------
    count : int
        Number of slices.
    side : int
        Side of the field in pixels.
    rng : numpy.random.Generator
        Random numbers.
    nuclei, threads, spots : int
        Number of each kind of object.
    """
    z, y, x = np.meshgrid(np.arange(count), np.arange(side), np.arange(side), indexing="ij", sparse=True)
    light = np.zeros((count, side, side), dtype=np.float32)
    # The outermost slices are empty, as they have no light.
    first, last = 0.2 * count, 0.8 * (count - 1)
    low, high = (0.08 * side, 0.55 * side) if rng.random() < 0.5 else (0.0, 0.6 * side)
    for _ in range(nuclei):
        radius = rng.uniform(0.06, 0.11) * side
        thick = rng.uniform(0.1, 0.2) * count
        middle = rng.uniform(first, last), *(rng.uniform(low, high, 2) + radius / 2)
        place = np.sqrt(
            ((z - middle[0]) / thick) ** 2 + ((y - middle[1]) / radius) ** 2 + ((x - middle[2]) / radius) ** 2
        )
        grain = ndimage.gaussian_filter(rng.standard_normal(light.shape, dtype=np.float32), (0.7, 1.5, 1.5))
        inside = (place < 1) * (0.25 + 0.12 * grain / grain.std()).clip(0)
        envelope = np.exp(-0.5 * ((place - 1) * radius / 1.2) ** 2)
        bright = np.where(envelope > 0.02, np.maximum(inside, envelope), inside)
        light = np.maximum(light, rng.uniform(60, 160) * bright)
    for _ in range(threads):
        length = int(rng.integers(side // 3, side))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.06, length))
        path = rng.uniform(low, high, 2) + np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
        ends = rng.uniform(first, last, 2)
        depth = np.linspace(ends[0], ends[1], length)
        cells = np.rint(np.column_stack([depth, path])).astype(int)
        inside = ((cells[:, 1:] >= 0) & (cells[:, 1:] < high + 0.1 * side)).all(axis=1)
        light[tuple(cells[inside].T)] = rng.uniform(250, 500)
    where = np.rint(np.column_stack([rng.uniform(first, last, spots), rng.uniform(low, high, (spots, 2))])).astype(int)
    light[tuple(where.T)] = rng.uniform(400, 1500, spots)
    return Specimen(light.astype(np.float32))
