"""Registration of one frame on another by an inverse compositional search over an image pyramid.

The moved frame is modelled as ``gain * template + offset``, so that the least squares solution has the largest
correlation (Evangelidis and Psarakis 2008). The derivatives are those of the template (Baker and Matthews 2004), so a
step resamples the frame only once. OpenCV's `findTransformECC` has no similarity model, cannot lock degrees of freedom,
and was half as accurate (docs/results.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from defocus_backend.align.blur import blur_difference, blurred
from defocus_backend.align.motion import Matrix, Motion, decompose, displacement, half_side

_SMOOTHING = 1.0
"""Sigma of the low-pass filter at every level, px; it reduces noise and differences in focus at the pixel scale."""
_LEAST_SIDE = 24
_LEVELS = 5
_STEPS = (25, 12, 8)
"""Largest number of steps at the coarsest level, at the intermediate levels, and at the finest level."""
_ENOUGH = 0.01
"""The search at a level ends if a step moves all corners by less than this, px."""
_CONVERGED = 0.1
_LEAST_CORRELATION = 0.5
_MOST_ERROR = 2.5
"""Largest accepted error of a corner, px; in macro series, blur and parallax alone cause 1.0 to 1.7 px."""
_UNCERTAIN = "uncertain by"
_LEAST_OVERLAP = 0.2
_MARGIN = 2
_FLAT = 1e-9
"""Pictures count as constant if the product of their standard deviations (unit range) is below this."""
_BLUR_SIDE = 384
"""Longest side of the levels at which the difference in blur is measured, px."""
_TILES = 8
"""Number of tiles along the longer side; the error is estimated from their disagreement."""


@dataclass(frozen=True)
class Link:
    """Registration of one frame on another.

    Attributes
    ----------
    matrix : (3, 3) array
        Transform from the centred coordinates of the template to those of the frame.
    correlation : float
        Correlation of the two low-passed frames in their overlap after alignment; 0 if no transform was found.
    error : float
        Standard error of the displacement at a corner of the frame, in px of the finest level.
    shift_error : float
        Standard error of the displacement of the centre, in px of the finest level.
    reason : str
        Reason why the registration must not be used; empty if it is good.
    """

    matrix: Matrix
    correlation: float
    error: float
    shift_error: float
    reason: str

    @property
    def good(self) -> bool:
        """Whether the registration can be used."""
        return not self.reason

    @property
    def found(self) -> bool:
        """Whether both frames show the same scene, even if their displacement is only known roughly."""
        return self.good or self.reason.startswith(_UNCERTAIN)


@dataclass(frozen=True)
class Pyramid:
    """A gray frame at several sizes, the finest first.

    Attributes
    ----------
    levels : tuple of (h, w) float32 tensors
        Frames, low-passed by a Gaussian of `_SMOOTHING` pixels.
    valid : tuple of (h, w) bool tensors, or None
        Pixels where the frame has values; None if all have.
    """

    levels: tuple[Tensor, ...]
    valid: tuple[Tensor, ...] | None

    @classmethod
    def of(cls, gray: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> Pyramid:
        """Create the pyramid of a gray frame (h, w)."""
        import cv2

        levels, masks = [], []
        present = None if valid is None else valid.astype(np.float32)
        while True:
            smooth = cv2.GaussianBlur(gray, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REFLECT)
            levels.append(torch.from_numpy(smooth))
            if present is not None:
                masks.append(torch.from_numpy(present > 0.999))
            height, width = gray.shape[0] // 2, gray.shape[1] // 2
            if min(height, width) < _LEAST_SIDE or len(levels) == _LEVELS:
                return cls(tuple(levels), tuple(masks) if present is not None else None)
            # Only complete 2x2 blocks: the centres of all levels then agree within half a pixel.
            gray = _halved(gray, (width, height))
            present = None if present is None else _halved(present, (width, height))

    def mask(self, level: int) -> Tensor:
        """Mask of pixels of a level that can be compared: valid, and away from the border."""
        inner = torch.zeros(self.levels[level].shape, dtype=torch.bool)
        inner[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = True
        return inner if self.valid is None else inner & self.valid[level]


def _halved(pixels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Means of 2x2 blocks; `size` is width and height."""
    import cv2

    whole = pixels[: 2 * size[1], : 2 * size[0]]
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def register(template: Pyramid, frame: Pyramid, motion: Motion, starts: list[Matrix]) -> Link:
    """Find the motion from a template to a frame.

    Parameters
    ----------
    template, frame : Pyramid
        Two frames of the same size.
    motion : Motion
        Degrees of freedom.
    starts : list of (3, 3) arrays
        Initial guesses besides the identity and the shift from phase correlation. The best of them is used.

    Returns
    -------
    Link
        The registration. A failure is stated in `reason`; no exception is raised.
    """
    if min(template.levels[0].shape) < 2 * _MARGIN + 4:
        return Link(np.eye(3), 0.0, np.inf, np.inf, "too small")
    coarsest = len(template.levels) - 1
    matrix = _best_start(template, frame, motion, starts, coarsest)
    measured = next(n for n, pixels in enumerate(template.levels) if max(pixels.shape) <= _BLUR_SIDE or n == coarsest)
    # Blur must not be mistaken for motion, so it is measured before the first step and again after it.
    amount = _Pair.of(template, frame, measured).blur_difference(matrix)
    for level in (*range(coarsest, measured - 1, -1), *range(measured, -1, -1)):
        pair = _Pair.of(template, frame, level)
        pair = pair.blurred(_resized(amount, pair.shape), matrix)
        steps = _STEPS[0] if level == coarsest else _STEPS[2] if level == 0 else _STEPS[1]
        matrix, found = _search(pair, motion, matrix, steps)
        if found.correlation <= 0:
            return Link(matrix, 0.0, np.inf, np.inf, _judge(matrix, found, np.inf))
        if level == measured:
            amount = _Pair.of(template, frame, measured).blur_difference(matrix)
    covariance = _covariance(pair, motion, matrix)
    error, shift_error = (_point_error(covariance, motion, pair.shape, at) for at in (1.0, 0.0))
    return Link(matrix, found.correlation, error, shift_error, _judge(matrix, found, error))


@dataclass(frozen=True)
class _Search:
    correlation: float
    overlap: float
    last_step: float


def _judge(matrix: Matrix, found: _Search, error: float) -> str:
    if found.correlation < _LEAST_CORRELATION:
        return f"correlation {found.correlation:.2f}"
    if not decompose(matrix).plausible:
        return "implausible motion"
    if found.overlap < _LEAST_OVERLAP:
        return f"overlap {found.overlap:.0%}"
    if found.last_step > _CONVERGED:
        return "no convergence"
    if error > _MOST_ERROR:
        return f"{_UNCERTAIN} {error:.1f} px"
    return ""


def _best_start(template: Pyramid, frame: Pyramid, motion: Motion, starts: list[Matrix], level: int) -> Matrix:
    tried = [*starts, np.eye(3), motion.constrain(_phase_shift(template.levels[level], frame.levels[level]))]
    pair = _Pair.of(template, frame, level)
    return max(tried, key=pair.correlation)


def _phase_shift(template: Tensor, frame: Tensor) -> Matrix:
    """Shift with the largest cross-correlation, in whole pixels of the coarsest level."""
    from skimage.registration import phase_cross_correlation

    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in template.shape))
    a, b = ((t.numpy() - float(t.mean())) * window for t in (template, frame))
    matrix = np.eye(3)
    if a.any() and b.any():
        shift = phase_cross_correlation(a, b, normalization=None)[0]
        matrix[:2, 2] = -shift[::-1] / half_side((int(template.shape[0]), int(template.shape[1])))
    return matrix


@dataclass(frozen=True)
class _Pair:
    """Two frames at one level of their pyramids.

    Attributes
    ----------
    template, frame : (h, w) float32 tensors
    inner : (h, w) bool tensor
        Pixels of the template that can be compared.
    valid : (h, w) bool tensor or None
        Pixels where the frame has values; None if all have.
    """

    template: Tensor
    frame: Tensor
    inner: Tensor
    valid: Tensor | None

    @classmethod
    def of(cls, template: Pyramid, frame: Pyramid, level: int) -> _Pair:
        valid = None if frame.valid is None else frame.valid[level]
        return cls(template.levels[level], frame.levels[level], template.mask(level), valid)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.template.shape[0]), int(self.template.shape[1])

    def moved(self, matrix: Matrix) -> tuple[Tensor, Tensor]:
        """The frame resampled on the template, and the mask of comparable pixels."""
        grid = _grid(matrix, self.shape)
        seen = (grid.abs() <= 1).all(-1) & self.inner
        if self.valid is not None:
            seen &= _sample(self.valid.to(torch.float32), grid) > 0.999
        return _sample(self.frame, grid), seen

    def correlation(self, matrix: Matrix) -> float:
        """Pearson correlation of the two frames after a motion; 0 if it is undefined."""
        moved, both = self.moved(matrix)
        return _correlation(self.template, moved, both)

    def blur_difference(self, matrix: Matrix) -> NDArray[np.float32]:
        """Map (h, w) of how much sharper the template is than the frame after a motion, as sigma in px."""
        moved, both = self.moved(matrix)
        return blur_difference(self.template.numpy(), moved.numpy(), both.numpy())

    def blurred(self, amount: NDArray[np.float32], matrix: Matrix) -> _Pair:
        """Both frames, each blurred where the other is less sharp, by the `amount` from `blur_difference`."""
        if not amount.any():
            return self
        back = _sample(torch.from_numpy(-amount), _grid(np.asarray(np.linalg.inv(matrix)), self.shape))
        template = torch.from_numpy(blurred(self.template.numpy(), amount))
        return replace(self, template=template, frame=torch.from_numpy(blurred(self.frame.numpy(), back.numpy())))


def _resized(amount: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Amounts of blur in px, converted to a level (h, w) of another size."""
    import cv2

    if amount.shape == shape:
        return amount
    resized = cv2.resize(amount, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized * (max(shape) / max(amount.shape)), dtype=np.float32)


def _search(pair: _Pair, motion: Motion, matrix: Matrix, steps: int) -> tuple[Matrix, _Search]:
    """Improve a motion at one level by Gauss-Newton steps."""
    columns = _derivatives(pair.template, motion)
    free = len(motion.generators)
    last, weighted, system = np.inf, columns, np.zeros((0, 0))
    # Relative to the valid pixels of the template, because a masked template may have few.
    overlap, comparable = 0.0, pair.inner.sum().clamp(min=1)
    for _ in range(steps):
        moved, both = pair.moved(matrix)
        if last > 1:  # the overlap of both frames has changed
            weight = both.to(torch.float32).reshape(-1)
            overlap = float(weight.sum() / comparable)
            weighted = columns * weight
            system = (weighted @ columns.T).double().numpy()
        solution = _solve(system, (weighted @ moved.reshape(-1)).double().numpy())
        if solution is None or solution[free] <= 0:
            return matrix, _Search(0.0, overlap, np.inf)
        # Model: frame = gain * (template + derivatives * amounts) + offset.
        step = motion.step(solution[:free] / solution[free])
        matrix = matrix @ np.linalg.inv(step)
        matrix = matrix / matrix[2, 2]
        last = displacement(step, pair.shape)
        if not np.isfinite(last) or last > max(pair.shape):
            return matrix, _Search(0.0, overlap, np.inf)
        if last < _ENOUGH:
            break
    moved, both = pair.moved(matrix)
    return matrix, _Search(_correlation(pair.template, moved, both), float(both.sum() / comparable), last)


def _covariance(pair: _Pair, motion: Motion, matrix: Matrix) -> NDArray[np.float64]:
    """Covariance (K, K) of the parameters of a motion, from their variation between tiles of the picture.

    Two frames differ not by white noise, but by blur and by structures that only one of them shows. Residuals are
    correlated within a tile and assumed to be independent between tiles (cluster-robust sandwich estimator, Liang and
    Zeger 1986).
    """
    columns, free = _derivatives(pair.template, motion), len(motion.generators)
    moved, both = pair.moved(matrix)
    height, width = pair.shape
    weighted = columns * both.to(torch.float32).reshape(-1)
    system = (weighted @ columns.T).double().numpy()
    solution = _solve(system, (weighted @ moved.reshape(-1)).double().numpy())
    if solution is None:
        return np.full((free, free), np.inf)
    rest = (moved.reshape(-1) - torch.from_numpy(solution.astype(np.float32)) @ columns) / float(solution[-2])
    side = max(4, -(-max(height, width) // _TILES))
    pulls = functional.pad((weighted * rest).reshape(1, -1, height, width), (0, -width % side, 0, -height % side))
    tiles = functional.avg_pool2d(pulls, side)[0].flatten(1).double().numpy() * side**2
    count = int((np.abs(tiles).sum(0) > 0).sum())
    if count < 2:
        return np.full((free, free), np.inf)
    inverse = np.linalg.pinv(system)
    covariance = inverse @ (tiles @ tiles.T) @ inverse * (count / (count - 1))
    return np.asarray(covariance[:free, :free])


def _solve(system: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64] | None:
    size = np.sqrt(system.diagonal())
    if not (size > 0).all() or not np.isfinite(size).all():
        return None
    scaled = system / np.outer(size, size)
    if np.linalg.cond(scaled) > 1e10:
        return None
    return np.asarray(np.linalg.solve(scaled, right / size) / size)


def _point_error(covariance: NDArray[np.float64], motion: Motion, shape: tuple[int, int], at: float) -> float:
    """Standard deviation of the displacement of a point in pixels; `at` is 0 for the centre, 1 for a corner."""
    unit = half_side(shape)
    corner = np.array([at * shape[1] / 2 / unit, at * shape[0] / 2 / unit, 1.0])
    moves = motion.generators @ corner
    gradient = (moves[:, :2] - moves[:, 2:] * corner[:2]).T
    variance = float(np.einsum("ik,kl,il->", gradient, covariance, gradient))
    return float(np.sqrt(max(variance, 0.0)) * unit) if np.isfinite(variance) else np.inf


def _derivatives(target: Tensor, motion: Motion) -> Tensor:
    """Columns (K + 2, h * w) of the least squares system: the derivatives, the template, and ones."""
    height, width = target.shape
    unit = half_side((height, width))
    down, right = (g * unit for g in torch.gradient(target))
    x, y = _coordinates((height, width))
    columns = []
    for generator in motion.generators:
        g = generator.tolist()
        along = _line(g[2], x, y)
        columns.append(right * (_line(g[0], x, y) - x * along) + down * (_line(g[1], x, y) - y * along))
    # Without its mean, the template is nearly independent of the constant, and the system is well conditioned.
    return torch.stack([*columns, target - target.mean(), torch.ones_like(target)]).reshape(len(columns) + 2, -1)


def _line(row: list[float], x: Tensor, y: Tensor) -> Tensor | float:
    """A row of a matrix times (x, y, 1); zero terms are skipped."""
    terms = [c * t for c, t in ((row[0], x), (row[1], y)) if c]
    return sum(terms, start=row[2]) if terms else row[2]


def _coordinates(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    unit = half_side(shape)
    x = (torch.arange(shape[1], dtype=torch.float32) - (shape[1] - 1) / 2) / unit
    y = (torch.arange(shape[0], dtype=torch.float32) - (shape[0] - 1) / 2) / unit
    return x[None, :], y[:, None]


def _grid(matrix: Matrix, shape: tuple[int, int]) -> Tensor:
    """Positions (h, w, 2) of the template's pixels in the frame; -1 and 1 are the centres of the outermost pixels."""
    height, width = shape
    unit = half_side(shape)
    x, y = _coordinates(shape)
    m = matrix.tolist()
    across, down = m[0][0] * x + m[0][1] * y + m[0][2], m[1][0] * x + m[1][1] * y + m[1][2]
    if m[2][0] or m[2][1]:
        depth = m[2][0] * x + m[2][1] * y + m[2][2]
        across, down = across / depth, down / depth
    return torch.stack([across * (2 * unit / (width - 1)), down * (2 * unit / (height - 1))], -1)


def _sample(pixels: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(pixels[None, None], grid[None], padding_mode="border", align_corners=True)[0, 0]


def _correlation(a: Tensor, b: Tensor, where: Tensor) -> float:
    """Pearson correlation of two pictures on a mask; 0 if it is undefined."""
    first, second = a[where], b[where]
    if first.numel() < 16:
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    size = float(first.norm() * second.norm())
    return float(first @ second) / size if size > _FLAT * first.numel() else 0.0
