"""Degradation of sharp photographs by blur, noise and compression, as by cameras and microscopes.

All gray values here are float32 on the 0..255 scale. Blur is applied in the cosine domain, which is
exact for a picture mirrored at its border and costs the same for every sigma.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

Gray = NDArray[np.float32]

NATIVE = 0.5
"""Intrinsic sigma of a sharp photograph in px, which counts as 0 unless the photograph is enlarged."""


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Probabilities and strengths of the changes to a training picture, before it is blurred (tone) and after.

    Attributes
    ----------
    disc, mixed : float
        Shares of pictures blurred with a disc (a lens), or with a disc followed by a Gaussian of the same
        variance (a lens that is not perfect), instead of with a Gaussian alone.
    tone : float
        Share of sharp pictures that first get another tone curve. In addition, 0.3 times this share is inverted.
    contrast : float
        Share of pictures whose contrast is lowered, down to `min_contrast` of the original.
    min_contrast : float
        Lowest contrast factor.
    empty : float
        Share of images that show nothing but a uniform background with noise, in which no blur is visible.
    noise : float
        Share of pictures with noise.
    min_noise, max_noise : float
        Smallest and largest standard deviation of the noise at mid-gray, in gray values; its logarithm is uniformly
        distributed.
    photons : float
        Share of the noisy pictures that are counts of 1 to 1,000 photons with an offset and read noise.
    grain : float
        Share of the noisy pictures whose noise is correlated between neighbouring pixels.
    denoised : float
        Share of the noisy pictures that went through a median filter.
    hot : float
        Share of pictures with hot pixels.
    jpeg : float
        Share of pictures compressed with a quality between 60 and 100.
    deep : float
        Share of the other pictures that have 16 bits: they are not rounded to 256 gray values, and their 0.1 and
        99.9 percentiles become black and white, as in the library.
    resampled : float
        Share of scenes that are enlarged, see `compositions.enlarge`.
    specimens : float
        Share of scenes that are drawn specimens under a microscope, see `microscope`.
    shrunk : float
        Share of photographs that are first reduced in size, by up to 2.5 times, which gives other textures that are
        certainly sharp.
    blended : float
        Share of photographs that are a weighted mean of two.
    drawn : float
        Share of the sharp pictures that are drawn instead of photographed, see `drawn.draw_texture`.
    patchwork : float
        Share of the drawn pictures that are patchworks of photographs, see `drawn.draw_leaves`.
    """

    disc: float = 0.45
    mixed: float = 0.15
    tone: float = 0.4
    contrast: float = 0.35
    min_contrast: float = 0.04
    empty: float = 0.04
    noise: float = 0.55
    min_noise: float = 0.4
    max_noise: float = 60.0
    photons: float = 0.3
    grain: float = 0.3
    denoised: float = 0.08
    hot: float = 0.08
    jpeg: float = 0.15
    deep: float = 0.3
    resampled: float = 0.08
    specimens: float = 0.16
    shrunk: float = 0.55
    blended: float = 0.15
    drawn: float = 0.3
    patchwork: float = 0.5


CLEAN = Degradation(
    disc=0.0,
    mixed=0.0,
    tone=0.0,
    contrast=0.0,
    empty=0.0,
    noise=0.0,
    photons=0.0,
    grain=0.0,
    denoised=0.0,
    hot=0.0,
    jpeg=0.0,
    deep=0.0,
    resampled=0.0,
    specimens=0.0,
    shrunk=0.0,
    blended=0.0,
    drawn=0.0,
    patchwork=0.0,
)
LIGHT = replace(CLEAN, drawn=0.08, disc=0.3, contrast=0.35, min_contrast=0.15, noise=0.35, max_noise=5.0, jpeg=0.1)
FULL = Degradation()

DEGRADATIONS = {"clean": CLEAN, "light": LIGHT, "full": FULL}
"""Degradations by their name on the command line; only "full" has pictures that are not rounded to 8 bits."""


def spectrum(image: Gray) -> Gray:
    """Cosine transform of an image (H, W), to be blurred many times by `blur_spectrum`."""
    transformed: Gray = fft.dctn(image.astype(np.float32), norm="ortho")
    return transformed


def transfer(height: int, width: int, sigma: float, psf: str = "gaussian") -> Gray:
    """Optical transfer function of a blur on the cosine frequencies of an image.

    Parameters
    ----------
    height, width : int
        Size of the image.
    sigma : float
        Standard deviation of the point spread function in pixels, the same for all kinds.
    psf : {"gaussian", "disc", "mixed"}
        A disc of radius R has the variance of a Gaussian with sigma R / 2; "mixed" is a disc and a Gaussian
        that share the variance.

    Returns
    -------
    (H, W) float32 array
        1 at frequency zero.
    """
    fy = np.arange(height, dtype=np.float32)[:, None] / (2 * height)
    fx = np.arange(width, dtype=np.float32)[None, :] / (2 * width)
    if psf == "mixed":
        half = float(sigma / np.sqrt(2))
        return transfer(height, width, half, "gaussian") * transfer(height, width, half, "disc")
    if psf == "gaussian":
        decay = -2 * np.pi**2 * sigma**2
        return np.asarray(np.exp(decay * fy**2) * np.exp(decay * fx**2), dtype=np.float32)
    radial = np.maximum(2 * np.pi * (2 * sigma) * np.sqrt(fy**2 + fx**2), 1e-6)
    return np.asarray(2 * special.j1(radial) / radial, dtype=np.float32)


def blur_spectrum(transformed: Gray, sigma: float, psf: str = "gaussian") -> Gray:
    """Blur an image given by its `spectrum`; sigma in pixels, result (H, W) on the image's own scale."""
    if sigma < 0.05:
        return np.asarray(fft.idctn(transformed, norm="ortho"), dtype=np.float32)
    height, width = transformed.shape
    blurred: Gray = fft.idctn(transformed * transfer(height, width, sigma, psf), norm="ortho")
    return blurred


def blur(image: Gray, sigma: float, psf: str = "gaussian") -> Gray:
    """Blur an image (H, W), mirrored at its border, with a Gaussian or a disc of the same variance."""
    return blur_spectrum(spectrum(image), sigma, psf)


def quantise(image: Gray) -> Gray:
    """Round to the 256 gray values of an 8-bit camera, still as float32."""
    return np.clip(np.rint(image), 0, 255)


def compress(image: Gray, quality: int) -> Gray:
    """Compress and decompress an image as JPEG, with a quality from 1 to 100."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(quantise(image).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), dtype=np.float32)


def add_noise(image: Gray, level: float, rng: np.random.Generator, grain: float = 0.0) -> Gray:
    """Poisson-Gaussian noise: half its variance at mid-gray is photon noise, which grows with the signal.

    Parameters
    ----------
    image : (H, W) float32 array
        Gray values 0..255.
    level : float
        Standard deviation at gray 128, in gray values.
    rng : numpy.random.Generator
        Random numbers.
    grain : float
        Sigma in pixels of the Gaussian that smooths the noise: demosaicing, denoising and alignment leave
        it correlated between neighbours. Its standard deviation stays `level`.

    Returns
    -------
    (H, W) float32 array
        Not clipped.
    """
    deviation = level * np.sqrt(0.5 + 0.5 * np.maximum(image, 0) / 128).astype(np.float32)
    return image + deviation * share_noise(rng.standard_normal(image.shape, dtype=np.float32), grain)


def share_noise(noise: Gray, grain: float, along: float = 1.0) -> Gray:
    """Smooth noise (H, W) so that neighbours are correlated; its standard deviation is preserved on average.

    Parameters
    ----------
    noise : (H, W) float32 array
        Independent from pixel to pixel.
    grain : float
        Sigma of the Gaussian in pixels; 0 returns `noise`.
    along : float
        Factor for the sigma along the rows: below 1 where lines were averaged, above where pixels were.
    """
    if grain <= 0:
        return noise
    height, width = noise.shape
    passed = transfer(height, 1, grain) * transfer(1, width, grain * along)
    return np.asarray(fft.idctn(spectrum(noise) * passed, norm="ortho") / np.sqrt(np.mean(passed**2)), dtype=np.float32)


def count_photons(image: Gray, photons: float, rng: np.random.Generator, grain: float = 0.0) -> Gray:
    """Simulate a photon-counting camera: Poisson noise of the signal and of an offset, and read noise.

    A microscope that averages frames, lines or neighbours returns a smoothed count. The photons of one pixel become a
    spot of the size of `grain`, which must not be mistaken for sharp detail.

    Parameters
    ----------
    image : (H, W) float32 array
        Gray values 0..255.
    photons : float
        Mean count at gray 128.
    rng : numpy.random.Generator
        Random numbers; the offset (up to half of that count) and the read noise (up to 3 photons) are drawn too.
    grain : float
        Sigma in pixels of the Gaussian that smooths the noise, as in `add_noise`; it is up to twice as long along
        the rows or across them.

    Returns
    -------
    (H, W) float32 array
        Gray values, not clipped.
    """
    gain = photons / 128
    mean = np.maximum(image, 0) * gain + rng.uniform(0, 0.5) * photons
    counts = rng.poisson(mean) + rng.uniform(0, 3) * rng.random() * rng.standard_normal(image.shape)
    if grain > 0:
        noise = (counts - mean).astype(np.float32)
        counts = mean + share_noise(noise, grain, float(np.exp2(rng.uniform(-1, 1))))
    return np.asarray((counts - (mean.mean() - image.mean() * gain)) / gain, dtype=np.float32)


def add_hot_pixels(image: Gray, rng: np.random.Generator) -> Gray:
    """Add hot pixels: up to one pixel in a thousand, brighter than all others."""
    hot = rng.random(image.shape) < 10 ** rng.uniform(-4.5, -3)
    return np.where(hot, image + np.float32(rng.uniform(60, 400)), image)


def _add_some_noise(image: Gray, how: Degradation, rng: np.random.Generator) -> Gray:
    level = float(np.exp(rng.uniform(np.log(how.min_noise), np.log(how.max_noise))))
    if rng.random() < how.photons:
        grain = rng.uniform(0.3, 1.5) if rng.random() < 1.5 * how.grain else 0.0
        return count_photons(image, float(np.exp(rng.uniform(0, np.log(1000)))), rng, grain)
    grain = rng.uniform(0.3, 1.4) if rng.random() < how.grain else 0.0
    return add_noise(image, level, rng, grain)


def degrade(image: Gray, how: Degradation, rng: np.random.Generator) -> Gray:
    """Apply contrast, offset, noise, compression, stretching and rounding to 8 bits, each with its own probability.

    Parameters
    ----------
    image : (H, W) float32 array
        Gray values 0..255, already blurred.
    how : Degradation
        Shares and strengths.
    rng : numpy.random.Generator
        Random numbers.

    Returns
    -------
    (H, W) float32 array
        Gray values 0..255, whole unless the picture is one of 16 bits.
    """
    empty = rng.random() < how.empty
    if empty:
        image = np.full_like(image, rng.uniform(0, 250))
    elif rng.random() < how.contrast:
        factor = np.float32(np.exp(rng.uniform(np.log(how.min_contrast), 0)))
        image = image * factor + np.float32(rng.uniform(0, 255 * (1 - factor)))
    if empty or rng.random() < how.noise:
        image = _add_some_noise(image, how, rng)
        if rng.random() < how.denoised:
            from scipy import ndimage

            image = ndimage.median_filter(image, 3)
    if rng.random() < how.hot:
        image = add_hot_pixels(image, rng)
    if rng.random() < how.deep:
        low, high = np.percentile(image, (0.1, 99.9))
        return np.asarray(np.clip((image - low) * np.float32(255 / max(high - low, 1e-3)), 0, 255), dtype=np.float32)
    if rng.random() < how.jpeg:
        return compress(image, int(rng.integers(60, 101)))
    return quantise(image)
