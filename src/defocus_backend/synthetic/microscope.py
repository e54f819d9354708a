"""Drawn specimens and the optics of a microscope, for training scenes that photographs cannot provide.

Specimens are gray values (side, side) on the 0..255 scale, sharp to the pixel. The widefield point spread
function is the paraxial one of Born and Wolf; all lengths are in pixels, relative to its size in focus.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from defocus_backend.synthetic.degrade import Gray, add_noise, blur, transfer
from defocus_backend.synthetic.drawn import draw_blob, draw_filaments

CORE = 0.225
"""Sigma of the Gaussian nearest to a widefield microscope's focus, in wavelengths over numerical aperture
(Zhang, Zerubia and Olivo-Marin 2007, doi:10.1364/AO.46.001819)."""

_PUPIL = 96
"""Radius of the sampled pupil; enough for the phase of a defocus of 19 px at a core of 0.3 px."""


def total_sigma(defocus: Gray | float, core: float) -> Gray:
    """Gaussian-equivalent sigma in pixels of a defocus (half the radius of its geometric disc) and the core."""
    return np.asarray(np.hypot(defocus, core), dtype=np.float32)


@lru_cache(maxsize=512)
def _radial_transfer(phase: float) -> NDArray[np.float64]:
    """Incoherent transfer function along a radius, from 0 to the cutoff, at a phase of defocus at the pupil's rim."""
    axis = np.arange(-_PUPIL, _PUPIL + 1) / _PUPIL
    square = axis[:, None] ** 2 + axis[None, :] ** 2
    pupil = np.where(square <= 1, np.exp(1j * phase * square), 0)
    # The transfer function is the pupil's autocorrelation; padding to twice its size avoids wrap-around.
    power = np.abs(fft.fft2(pupil, (4 * _PUPIL + 2,) * 2)) ** 2
    along = fft.ifft(power.mean(axis=0)).real[: 2 * _PUPIL + 1]
    return np.asarray(along / along[0])


def widefield_transfer(height: int, width: int, defocus: float, core: float) -> Gray:
    """Transfer function of a widefield microscope on the cosine frequencies of an image.

    Parameters
    ----------
    height, width : int
        Size of the image.
    defocus : float
        Half the radius in pixels of the geometric disc of defocus; 0 in focus.
    core : float
        Sigma in pixels of the Gaussian nearest to the focus, see `CORE`.

    Returns
    -------
    (H, W) float32 array
        1 at frequency zero, 0 beyond the cutoff; may be negative, where contrast is reversed.
    """
    along = _radial_transfer(round(2 * np.pi * CORE * defocus / core, 1))
    fy = np.arange(height, dtype=np.float32)[:, None] / (2 * height)
    fx = np.arange(width, dtype=np.float32)[None, :] / (2 * width)
    place = np.sqrt(fy**2 + fx**2) * (core / (2 * CORE)) * (len(along) - 1)
    return np.interp(place, np.arange(len(along)), along, right=0.0).astype(np.float32)


class SimulatedMicroscope:
    """Simulated stage and camera over a flat specimen, for testing autofocus; by default with a 10x/0.3 objective.

    Parameters
    ----------
    specimen : (H, W) array
        Sharp gray values, 0 to 255.
    focus : float
        Position of the stage at which the specimen is in focus, in micrometres.
    aperture, pixel_size, wavelength : float
        Numerical aperture in air; micrometres.
    noise : float
        Standard deviation in gray values.
    seed : int
        Seed of the noise.

    Attributes
    ----------
    z : float
        Position of the stage.
    shots : int
        Number of pictures taken so far.
    slope : float
        Increase of the geometric sigma (half the radius of the disc) in pixels per micrometre.
    """

    def __init__(
        self,
        specimen: Gray,
        focus: float = 0.0,
        *,
        aperture: float = 0.3,
        pixel_size: float = 0.65,
        wavelength: float = 0.52,
        noise: float = 2.0,
        seed: int = 0,
    ) -> None:
        self._spectrum = fft.dctn(specimen, norm="ortho")
        self._core = CORE * wavelength / aperture / pixel_size
        self._noise, self._rng = noise, np.random.default_rng(seed)
        self.slope = math.tan(math.asin(aperture)) / (2 * pixel_size)
        self.focus, self.z, self.shots = focus, 0.0, 0

    def move(self, z: float) -> None:
        """Move the stage."""
        self.z = z

    def snap(self) -> NDArray[np.uint8]:
        """Take a picture (H, W)."""
        self.shots += 1
        height, width = self._spectrum.shape
        passed = widefield_transfer(height, width, self.slope * abs(self.z - self.focus), self._core)
        light = fft.idctn(self._spectrum * passed, norm="ortho").astype(np.float32)
        return add_noise(light, self._noise, self._rng).clip(0, 255).round().astype(np.uint8)

    def stack(self, z: ArrayLike) -> list[NDArray[np.uint8]]:
        """Take a picture at each of these positions."""
        planes = []
        for place in np.asarray(z, dtype=np.float64):
            self.move(float(place))
            planes.append(self.snap())
        return planes


def draw_nuclei(side: int, rng: np.random.Generator) -> Gray:
    """Bright bodies with a grainy interior and sharp edges on a dark background."""
    bodies = draw_blob(side, rng)
    grain = rng.standard_normal((side, side)).astype(np.float32)
    coarse = blur(grain, float(rng.uniform(2, 6)))
    fine = blur(grain[::-1].copy(), float(rng.uniform(0.5, 1.5)))
    inside = 1 + rng.uniform(0.1, 0.5) * coarse / coarse.std() + rng.uniform(0, 0.4) * fine / fine.std()
    return np.asarray(rng.uniform(2, 30) + bodies * inside.clip(0, 3) * rng.uniform(30, 110), dtype=np.float32)


def draw_membranes(side: int, rng: np.random.Generator) -> Gray:
    """Thin bright walls between cells, one or two pixels wide, at the zero crossings of a smooth random field."""
    field = blur(rng.standard_normal((side, side)).astype(np.float32), float(rng.uniform(5, 25)))
    slope = np.hypot(*np.gradient(field)) + 1e-6
    wall = np.exp(-0.5 * (field / slope / rng.uniform(0.4, 1.0)) ** 2)
    dots = (rng.random((side, side)) < rng.uniform(0, 0.003)) * rng.uniform(0, 1.5)
    return np.asarray(rng.uniform(2, 30) + (wall + dots) * rng.uniform(60, 200), dtype=np.float32)


def draw_specimen(side: int, rng: np.random.Generator) -> Gray:
    """Nuclei, membranes, filaments, or two of these together, as in a fluorescence picture."""
    kinds = (draw_nuclei, draw_membranes, draw_filaments)
    first = kinds[rng.integers(len(kinds))](side, rng)
    if rng.random() < 0.3:
        first = first + kinds[rng.integers(len(kinds))](side, rng)
    return first.clip(0, 255)


def add_haze(light: Gray, rng: np.random.Generator) -> Gray:
    """Add the light of other depths to a focal plane: another specimen, strongly blurred."""
    haze = blur(draw_specimen(light.shape[0], rng), float(np.exp(rng.uniform(np.log(9), np.log(40)))), "disc")
    share = rng.uniform(0.1, 0.85)
    return np.asarray((1 - share) * light + share * haze, dtype=np.float32)


def draw_phase_object(side: int, defocus: float, core: float, rng: np.random.Generator) -> Gray:
    """Transparent cells in brightfield, whose contrast reverses through focus.

    The field behind a thin object of phase and little absorption, propagated by the defocus. The condenser's
    aperture blurs the interference fringes.

    Parameters
    ----------
    side : int
        Side of the picture in pixels.
    defocus, core : float
        As in `widefield_transfer`; the defocus is negative on one side of the focus.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    (side, side) float32 array
        Gray values, not clipped.
    """
    bodies = blur(draw_blob(side, rng), float(rng.uniform(1, 3)))
    granules = blur((rng.random((side, side)) < 0.004).astype(np.float32), float(rng.uniform(0.5, 1.2)))
    granules *= bodies / max(float(granules.max()), 1e-6)
    phase = rng.uniform(0.3, 2) * bodies + rng.uniform(0.2, 1.5) * granules
    field = np.exp((1j - rng.uniform(0.01, 0.15)) * phase)
    frequency = fft.fftfreq(side)
    square = (frequency[:, None] ** 2 + frequency[None, :] ** 2) * (core / CORE) ** 2
    pupil = np.where(square <= 1, np.exp(2j * np.pi * CORE * defocus / core * square), 0)
    light = np.abs(fft.ifft2(fft.fft2(field) * pupil)) ** 2
    spectrum = fft.dctn(light.astype(np.float32), norm="ortho")
    coherence = transfer(side, side, float(rng.uniform(0.3, 0.9)) * abs(defocus) + 1e-3, "disc")
    light = fft.idctn(spectrum * coherence, norm="ortho")
    return np.asarray(rng.uniform(90, 170) * light, dtype=np.float32)
