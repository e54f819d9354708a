"""The comparison maps: their formulas on ideal pictures, their order on blurred ones, their refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage, special

from defocus_backend.compare.energy_ratio import energy_ratio_map, noise_variance, ratio_sigma
from defocus_backend.compare.lbp import lbp_codes, lbp_map, multiscale_belief
from defocus_backend.compare.maps import map_with, refine_values
from defocus_backend.compare.matting import matting_laplacian, spread_values
from defocus_backend.compare.zhuo_sim import edge_sigma, smooth_sparse, sparse_sigma
from defocus_backend.defocus import defocus_map
from defocus_backend.errors import InputError
from defocus_backend.evaluation.benchmark import candidate_names
from defocus_backend.fusion import fuse
from defocus_backend.methods import MAP_METHODS, Method
from defocus_backend.params import MapParams, SigmaParams, SliceMapParams


def texture(side: int, seed: int = 0) -> np.ndarray:
    """Random picture whose amplitude falls as 1/f, as that of photographs does; gray 0..255."""
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal((side, side)))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = np.inf
    picture = np.fft.irfft2(noise / frequency, s=(side, side))
    return 128 + 40 * picture / picture.std()


def step(sigma: float, side: int = 65) -> np.ndarray:
    """A vertical edge through the centres of the middle column, blurred exactly; unit range."""
    x = np.arange(side) - side // 2
    profile = 0.25 + 0.5 * 0.5 * (1 + special.erf(x / (np.sqrt(2) * sigma)))
    return np.tile(profile, (side, 1))


# --- closed form ---


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0, 8.0])
def test_energy_ratio_recovers_the_blur_of_a_random_texture(sigma: float) -> None:
    # Over a wide window the energies are those of the spectrum, not of the few waves that a small one holds.
    blurred = ndimage.gaussian_filter(texture(384), sigma, mode="wrap")
    found = energy_ratio_map(blurred, window=48)
    np.testing.assert_allclose(found[96:-96, 96:-96].mean(), sigma, rtol=0.05)


def test_energy_ratio_subtracts_known_noise() -> None:
    rng = np.random.default_rng(1)
    blurred = ndimage.gaussian_filter(texture(384), 3, mode="wrap")
    noisy = blurred + 4 * rng.standard_normal(blurred.shape)
    assert energy_ratio_map(noisy, noise=4)[32:-32, 32:-32].mean() == pytest.approx(3, rel=0.1)
    assert noise_variance(128 + 4 * rng.standard_normal((256, 256))) == pytest.approx(16, rel=0.2)


def test_ratio_inverts_the_energy_model() -> None:
    sigma, s1, s2 = np.array([0.0, 0.5, 3.0, 12.0]), 0.8, 1.2
    np.testing.assert_allclose(ratio_sigma((sigma**2 + s2**2) / (sigma**2 + s1**2), s1, s2), sigma, atol=1e-6)
    assert ratio_sigma(np.array([5.0]), s1, s2) == 0
    assert np.isinf(ratio_sigma(np.array([1.0, 0.5]), s1, s2)).all()


# --- Zhuo and Sim ---


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.5])
def test_gradient_ratio_is_exact_on_a_blurred_step(sigma: float) -> None:
    # In continuous space the gradients in the middle of the edge are known in closed form.
    gradient = [1 / np.sqrt(sigma**2 + s**2) for s in (1.0, 1.5)]
    assert edge_sigma(np.array([gradient[0] / gradient[1]]), 1.0, 1.5)[0] == pytest.approx(sigma, abs=1e-9)
    found = sparse_sigma(step(sigma), edge_threshold=0.5, sigma=1.0, max_blur=10)
    middle = found[10:-10, 32]
    assert np.isfinite(middle).all()
    np.testing.assert_allclose(middle, sigma, rtol=0.01)


def test_impossible_ratios_are_dropped_and_the_limit_is_a_sharp_edge() -> None:
    found = edge_sigma(np.array([0.9, 1.005, 1.5, 1.6]), 1.0, 1.5)
    assert np.isnan(found[[0, 1, 3]]).all()
    assert found[2] == 0


def test_bilateral_mean_keeps_even_values_and_discounts_large_ones() -> None:
    gray = np.full((21, 21), 0.5)
    values = np.full((21, 21), np.nan)
    values[10] = 3.0
    even = smooth_sparse(values, gray, spatial=5, reach=1)
    np.testing.assert_allclose(even[10], 3)
    assert np.isnan(even[9]).all()
    values[10, 10] = 9.0
    assert 3 < smooth_sparse(values, gray, spatial=5, reach=1)[10, 10] < 3.1


# --- matting ---


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (2, 2), (3, 3), (7, 9)])
def test_matting_laplacian_is_symmetric_positive_and_without_row_sum(shape: tuple[int, int]) -> None:
    gray = np.random.default_rng(2).random(shape)
    laplacian = matting_laplacian(gray, eps=1e-4)
    dense = laplacian.toarray()
    np.testing.assert_allclose(dense.sum(axis=1), 0, atol=1e-10)
    np.testing.assert_array_equal(dense, dense.T)
    assert np.linalg.eigvalsh(dense).min() > -1e-9


def test_matting_laplacian_equals_levins_sum_over_windows() -> None:
    height, width, eps = 5, 6, 1e-3
    gray = np.random.default_rng(3).random((height, width))
    reference = np.zeros((30, 30))
    for y in range(height - 2):
        for x in range(width - 2):
            index = (np.arange(y, y + 3)[:, None] * width + np.arange(x, x + 3)).ravel()
            values = gray.ravel()[index]
            centred = values - values.mean()
            share = (1 + np.outer(centred, centred) / (values.var() + eps / 9)) / 9
            reference[np.ix_(index, index)] += np.eye(9) - share
    np.testing.assert_allclose(matting_laplacian(gray, eps=eps).toarray(), reference, atol=1e-10)


@pytest.mark.parametrize("max_pixels", [10_000, 500])
def test_values_spread_over_even_regions_and_stop_at_edges(max_pixels: int) -> None:
    gray = np.full((40, 40), 0.2)
    gray[:, 20:] = 0.8
    values, known = np.zeros((40, 40)), np.zeros((40, 40), dtype=bool)
    known[20, 4:7] = known[20, 33:36] = True
    values[20, 33:36] = 5
    for strength in (1e-3, np.inf):
        found = spread_values(gray, values, known, strength=strength, max_pixels=max_pixels)
        np.testing.assert_allclose(found[:, :18], 0, atol=0.15)
        np.testing.assert_allclose(found[:, 22:], 5, atol=0.15)
    with pytest.raises(InputError, match=r"^known:"):
        spread_values(gray, values, np.zeros_like(known), strength=1)


# --- local binary patterns ---


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        # Flat, and brighter by no more than the threshold of 4.08 gray values: nothing counts.
        ([[50, 50, 50], [50, 50, 50], [50, 50, 50]], 0),
        ([[54, 54, 54], [54, 50, 54], [54, 54, 54]], 0),
        # A dark point: all eight neighbours.
        ([[90, 90, 90], [90, 50, 90], [90, 90, 90]], 8),
        # Foot of a vertical edge: the right neighbour and the two diagonals beside it.
        ([[50, 50, 90], [50, 50, 90], [50, 50, 90]], 3),
        # Right and upper arm of an L, and the diagonal between them.
        ([[50, 90, 90], [50, 50, 90], [50, 50, 50]], 5),
        # Left and right only: two runs around the circle.
        ([[50, 50, 50], [90, 50, 90], [50, 50, 50]], 9),
    ],
)
def test_lbp_code_of_a_patch(patch: list[list[int]], code: int) -> None:
    assert lbp_codes(np.array(patch, dtype=np.uint8))[1, 1] == code


def test_lbp_codes_do_not_change_with_rotation() -> None:
    picture = np.random.default_rng(4).integers(0, 256, (12, 12), dtype=np.uint8)
    np.testing.assert_array_equal(lbp_codes(np.rot90(picture)), np.rot90(lbp_codes(picture)))


def test_diagonals_are_bilinear_and_cut_to_whole_values() -> None:
    # Only the corner differs: its share is 1/2, 50 + 0.5 * (61 - 50) = 55.5, cut to 55.
    patch = np.full((3, 3), 50, dtype=np.uint8)
    patch[0, 2] = 61
    assert lbp_codes(patch, threshold=4.9 / 255)[1, 1] == 1
    assert lbp_codes(patch, threshold=5.2 / 255)[1, 1] == 0


def test_inference_on_a_chain_is_exact() -> None:
    """Three scales of one pixel form a tree, on which the sum over all states can be written down."""
    scores, beta = np.array([0.1, 0.9, 0.6]), 0.5
    standard = (scores - scores.mean()) / scores.std(ddof=1)
    weight = np.zeros(2)
    for states in np.ndindex(2, 2, 2):
        own = sum(abs(s - h) for s, h in zip(states, standard, strict=True))
        unlike = sum(a != b for a, b in itertools.pairwise(states))
        weight[states[-1]] += np.exp(-own - beta * unlike)
    found = multiscale_belief(scores[:, None, None], beta=beta)
    assert found[0, 0] == pytest.approx(weight[1] / weight.sum(), abs=1e-3)


# --- all methods ---


@pytest.fixture(scope="module")
def strips() -> np.ndarray:
    """Three strips of one texture, blurred by 0.8, 2 and 5 px, with a little noise."""
    picture = texture(192, seed=5)[:96]
    parts = [ndimage.gaussian_filter(picture, s) for s in (0.8, 2, 5)]
    joined = np.concatenate([part[:, :64] for part in parts], axis=1)
    joined = joined + np.random.default_rng(6).standard_normal(joined.shape)
    return np.clip(np.rint(joined), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("name", MAP_METHODS)
def test_more_blur_gives_larger_values(name: str, refine: bool, strips: np.ndarray) -> None:
    found = map_with(name, strips, refine=refine)
    assert found.shape == strips.shape
    assert found.dtype == np.float64
    middle = [np.median(found[16:-16, x : x + 32]) for x in (16, 80, 144)]
    assert middle[0] < middle[1]
    # From 2 px on hardly a pixel is outshone by six neighbours: the patterns cannot tell more blur from less.
    assert middle[1] <= middle[2] if name == "lbp" else middle[1] < middle[2]


@pytest.mark.parametrize("name", MAP_METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 5), (8, 8), (33, 20)])
def test_any_size_and_flat_pictures_give_a_finite_map(name: str, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    for picture in (noise, np.zeros(shape), np.full(shape, 255, dtype=np.uint8)):
        for refine in (False, True):
            found = map_with(name, picture, refine=refine)
            assert found.shape == shape
            assert np.isfinite(found).all()
            if MAP_METHODS[name].unit == "px":
                assert found.min() >= 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("entropy", 0),
        ("deviation", 0),
        ("laplacian_variance", 0),
        ("zhuo_sim", 10),
        ("fdm", 10),
        ("energy_ratio", 19),
    ],
)
def test_a_flat_picture_has_the_largest_value(name: str, value: float) -> None:
    found = map_with(name, np.full((40, 40), 77, dtype=np.uint8))
    np.testing.assert_allclose(found, value, atol=1e-9)


def test_a_flat_picture_is_believed_to_be_blurred() -> None:
    assert lbp_map(np.full((40, 40), 77, dtype=np.uint8)).min() > 0.5


@pytest.mark.parametrize("name", MAP_METHODS)
def test_dtype_and_memory_order_do_not_matter(name: str) -> None:
    picture = np.rint(np.clip(texture(48, seed=8), 0, 255)).astype(np.uint8)
    expected = map_with(name, picture)
    for same in (picture.astype(np.float32), np.asfortranarray(picture), picture.astype(np.uint16)[::1]):
        np.testing.assert_array_equal(map_with(name, same), expected)


@pytest.mark.parametrize("name", MAP_METHODS)
@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4, 3)), np.zeros((0, 4)), np.full((4, 4), np.nan), np.zeros((4, 4), dtype=complex)],
)
def test_bad_pictures_are_refused(name: str, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^gray:"):
        map_with(name, bad)


@pytest.mark.parametrize(
    ("name", "parameters", "argument"),
    [
        ("entropy", {"window": 0}, "window"),
        ("deviation", {"window": 2.5}, "window"),
        ("lbp", {"windows": (4,)}, "windows"),
        ("lbp", {"windows": ()}, "windows"),
        ("lbp", {"threshold": 0}, "threshold"),
        ("zhuo_sim", {"edge_threshold": 2}, "edge_threshold"),
        ("zhuo_sim", {"strength": float("nan")}, "strength"),
        ("fdm", {"superpixels": 0}, "superpixels"),
        ("fdm", {"alpha": 1}, "alpha"),
        ("energy_ratio", {"noise": -1}, "noise"),
        ("energy_ratio", {"window": "wide"}, "window"),
    ],
)
def test_bad_parameters_are_named(name: str, parameters: dict[str, object], argument: str) -> None:
    with pytest.raises(InputError, match=rf"^{argument}:"):
        map_with(name, np.zeros((8, 8)), **parameters)


def test_registry() -> None:
    assert {m.name for m in MAP_METHODS.values()} == set(MAP_METHODS)
    assert {m.unit for m in MAP_METHODS.values()} == {"px", "relative"}
    assert MAP_METHODS["lbp"].function is lbp_map


def test_an_unknown_name_is_refused() -> None:
    for call in (lambda: map_with("magic", np.zeros((8, 8))), lambda: MAP_METHODS["magic"]):
        with pytest.raises(InputError, match="method: got 'magic'; expected one of energy_ratio, zhuo_sim"):
            call()
    with pytest.raises(InputError, match="method: got 'magic'; expected one of pixelnet"):
        defocus_map(np.zeros((8, 8)), map_method="magic")


def test_a_map_method_is_added_from_outside() -> None:
    """One entry of the registry is enough for the library, its parameters and the benchmark."""

    def constant(gray: np.ndarray, *, blur: float = 3.0) -> np.ndarray:
        return np.full(gray.shape, blur)

    MAP_METHODS.add(Method(name="constant", text="the same blur everywhere", citation="-", home=constant, unit="px"))
    try:
        assert map_with("constant", np.zeros((8, 9)), blur=2.0).max() == 2
        found = defocus_map(np.zeros((8, 9), np.uint8), map_method="constant", device="cpu")
        assert (found.sigma == 3).all()
        assert "constant" in SigmaParams.describe()["map_method"]["choices"]
        assert "constant" in candidate_names()
    finally:
        MAP_METHODS.remove("constant")
    assert "constant" not in MapParams.describe()["map_method"]["choices"]


@pytest.mark.parametrize("change", [lambda m: m, lambda m: -3 * m + 7, lambda m: 1000 + 1e-3 * m])
def test_refinement_commutes_with_a_change_of_unit(change: Callable[[np.ndarray], np.ndarray]) -> None:
    picture = np.clip(texture(64, seed=9), 0, 255)
    values = np.random.default_rng(10).uniform(0, 19, picture.shape)
    plain, changed = (refine_values(v, picture)[0] for v in (values, change(values)))
    scale = np.ptp(change(values))
    np.testing.assert_allclose(changed, change(plain), atol=2e-5 * scale)
    assert plain.min() >= values.min()
    assert plain.max() <= values.max() + 1e-6


# --- through the library's face ---


@pytest.mark.parametrize("name", MAP_METHODS)
def test_defocus_map_takes_every_method(name: str, strips: np.ndarray) -> None:
    found = defocus_map(strips, map_method=name, device="cpu")
    assert found.unit == MAP_METHODS[name].unit
    span = np.ptp(found.raw)
    np.testing.assert_allclose(found.raw, map_with(name, strips), atol=1e-3 * span)
    np.testing.assert_allclose(found.sigma, refine_values(found.raw.astype(float), strips)[0], atol=1e-3 * span)
    assert np.isnan(found.deviation).all()
    assert 0 <= found.confidence.min() <= found.confidence.max() <= 1
    with_colour = defocus_map(
        np.stack([strips] * 3, axis=-1), channel_axis=-1, map_method=name, refine=False, device="cpu"
    )
    np.testing.assert_array_equal(with_colour.sigma, with_colour.raw)


def test_what_is_missing_stays_missing(strips: np.ndarray) -> None:
    holed = strips / 255.0
    holed[10:14, 20:30] = np.nan
    found = defocus_map(holed, map_method="energy_ratio", device="cpu")
    np.testing.assert_array_equal(np.isnan(found.sigma), np.isnan(holed))
    assert (found.confidence[10:14, 20:30] == 0).all()


def test_a_flat_part_has_no_confidence(strips: np.ndarray) -> None:
    picture = strips.copy()
    picture[:, 100:] = 90
    confidence = defocus_map(picture, map_method="deviation", device="cpu").confidence
    assert confidence[:, 120:].max() < 0.01
    assert confidence[:, :80].min() > 0.9


def test_a_method_without_network_takes_no_weights_and_a_relative_map_no_threshold(strips: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^weights:"):
        defocus_map(strips, map_method="zhuo_sim", weights="blurnet", device="cpu")
    with pytest.raises(InputError, match=r"^sharp_below:"):
        defocus_map(strips, map_method="entropy", refine=False, device="cpu").in_focus()
    with pytest.raises(InputError, match=r"^map_method:"):
        fuse([strips, strips], map_settings=SliceMapParams(map_method="entropy"))
