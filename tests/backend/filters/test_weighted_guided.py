import numpy as np
import pytest
import torch

from defocus_backend.errors import InputError
from defocus_backend.filters import (
    CellGrid,
    cell_mean,
    edge_weight,
    guided_filter,
    smooth_guide,
    smooth_guide_model,
    weighted_guided_filter,
    weighted_statistics,
)

TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-12}


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return request.param


def rand(*shape, dtype=torch.float64, seed=4):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def spans(shape, radius):
    height, width = shape
    for y in range(height):
        for x in range(width):
            yield (slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1))


def weight_by_definition(guide, value_range=1.0):
    raised = np.array([guide[s].var() for s in spans(guide.shape, 1)]) + (0.001 * value_range) ** 2
    return np.array([np.mean(v / raised) for v in raised]).reshape(guide.shape)


def filter_by_definition(guide, src, radius, eps):
    total, count = np.zeros(guide.shape), np.zeros(guide.shape)
    weight = weight_by_definition(guide).ravel()
    for gamma, span in zip(weight, spans(guide.shape, radius), strict=True):
        i, p = guide[span], src[span]
        a = np.mean((i - i.mean()) * (p - p.mean())) / (i.var() + eps / gamma)
        total[span] += a * i + p.mean() - a * i.mean()
        count[span] += 1
    return total / count


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (2, 2), (13, 11)])
def test_edge_weight_equals_the_definition(shape, dtype, device):
    guide = rand(*shape, dtype=dtype)
    result = edge_weight(guide.to(device))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.cpu(), weight_by_definition(guide.double().numpy()), rtol=1e-5)
    scaled = edge_weight(200 * guide.to(device) + 30, value_range=200)
    torch.testing.assert_close(scaled, result, rtol=1e-4, atol=1e-6)


def test_edge_weight_is_above_one_at_edges_and_below_one_elsewhere(device):
    guide = torch.zeros(20, 20, device=device)
    guide[:, 10:] = 1
    result = edge_weight(torch.stack([guide, torch.full_like(guide, 0.6)]))
    assert (result[0, :, 9:11] > 1000).all()
    assert (result[0, :, :9] < 1).all()
    torch.testing.assert_close(result[1], torch.ones_like(guide))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("shape", "radius"), [((1, 1), 3), ((1, 7), 2), ((13, 11), 2), ((11, 9), 30), ((5, 5), 0)])
def test_filter_equals_the_definition(shape, radius, dtype, device):
    guide, src = rand(*shape, dtype=dtype), rand(*shape, dtype=dtype, seed=5)
    result = weighted_guided_filter(guide.to(device), src.to(device), radius=radius, eps=1e-2)
    assert result.dtype == dtype
    reference = filter_by_definition(guide.double().numpy(), src.double().numpy(), radius, 1e-2)
    np.testing.assert_allclose(result.cpu(), reference, atol=TOLERANCE[dtype])


def test_edges_are_kept_better_than_by_the_guided_filter(device):
    step = torch.zeros(80, 80, dtype=torch.float64, device=device)
    step[:, 40:] = 0.3
    noisy = step + 0.02 * (rand(80, 80).to(device) - 0.5)
    flat, edge = (slice(None), slice(28)), (slice(None), slice(34, 46))
    weighted, plain = (f(noisy, noisy, radius=5, eps=0.01) - step for f in (weighted_guided_filter, guided_filter))
    assert weighted[flat].std() < 1.02 * plain[flat].std()
    assert weighted[edge].square().mean().sqrt() < 0.8 * plain[edge].square().mean().sqrt()
    # Iterated on itself the plain filter washes the edge out.
    again = noisy
    for _ in range(5):
        again = guided_filter(again, again, radius=5, eps=0.01)
    smooth, plain = smooth_guide(noisy, radius=5, eps=0.01, iterations=5) - step, again - step
    assert smooth[flat].std() < 0.4 * plain[flat].std()
    assert smooth[edge].square().mean().sqrt() < 0.4 * plain[edge].square().mean().sqrt()


def test_iterations_filter_the_output_again(device):
    guide, src = rand(17, 21).to(device), rand(3, 17, 21, seed=5).to(device)
    result = weighted_guided_filter(guide, src, radius=3, eps=0.01, iterations=3)
    for _ in range(3):
        src = weighted_guided_filter(guide, src, radius=3, eps=0.01)
    torch.testing.assert_close(result, src, rtol=0, atol=1e-12)


def test_smooth_guide_is_its_own_guide(device):
    image = rand(17, 21).to(device)
    result = smooth_guide(image, radius=3, eps=0.005, iterations=4)
    for _ in range(4):
        image = weighted_guided_filter(image, image, radius=3, eps=0.005)
    torch.testing.assert_close(result, image, rtol=0, atol=1e-12)


def test_smooth_guide_removes_texture_and_keeps_a_large_edge(device):
    step = torch.full((64, 64), 0.2, dtype=torch.float64, device=device)
    step[:, 32:] = 0.8
    image = step + 0.05 * (rand(64, 64).to(device) - 0.5)
    for subsample in (1, 2):
        result = smooth_guide(image, radius=8, eps=0.005, iterations=7, subsample=subsample)
        assert (result - step)[:, :24].std() < 0.2 * (image - step).std()
        assert result[:, 32:34].mean() - result[:, 30:32].mean() > 0.4


def test_subsampled_iterations_equal_those_on_the_cells(device):
    # On an image made of 3 x 3 cells nothing is lost on the grid, and nothing interpolated in the cells' middles.
    small, src = rand(9, 8).to(device), rand(9, 8, seed=6).to(device)
    image, large = (x.repeat_interleave(3, 0).repeat_interleave(3, 1) for x in (small, src))
    result = smooth_guide(image, radius=6, eps=0.005, iterations=4, subsample=3)
    expected = smooth_guide(small, radius=2, eps=0.005, iterations=4)
    torch.testing.assert_close(result[1::3, 1::3], expected, rtol=0, atol=1e-12)
    result = weighted_guided_filter(image, large, radius=6, eps=0.005, iterations=4, subsample=3)
    expected = weighted_guided_filter(small, src, radius=2, eps=0.005, iterations=4)
    torch.testing.assert_close(result[1::3, 1::3], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("subsample", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strips_equal_the_whole(subsample, dtype, device):
    """The smooth guide and the refinement by it, without ever holding either at full resolution."""
    image, blur = rand(53, 38, dtype=dtype).to(device), rand(53, 38, dtype=dtype, seed=7).to(device)
    grid = CellGrid(53, 38, subsample)
    cells = torch.cat([cell_mean(image[y : y + 20], subsample) for y in range(0, 53, 20)])
    torch.testing.assert_close(cells, cell_mean(image, subsample))
    smooth = smooth_guide_model(cells, grid, radius=6, eps=0.005, iterations=3)
    statistics = weighted_statistics(smooth.on_cells(cells), grid, radius=6, eps=0.01)
    refined = statistics.model(cell_mean(blur, subsample), iterations=2)

    def render(y, n):
        return refined.rows(smooth.rows(image[y : y + n], start=y), start=y)

    whole = render(0, 53)
    torch.testing.assert_close(torch.cat([render(y, 7) for y in range(0, 53, 7)]), whole, rtol=0, atol=1e-6)
    guide = smooth_guide(image, radius=6, eps=0.005, iterations=3, subsample=subsample)
    torch.testing.assert_close(smooth.rows(image), guide, rtol=0, atol=1e-5)
    if subsample == 1:
        result = weighted_guided_filter(guide, blur, radius=6, eps=0.01, iterations=2)
        torch.testing.assert_close(whole, result, rtol=0, atol=1e-5)


@pytest.mark.parametrize("subsample", [1, 3])
def test_constants_stay_constant(subsample, device):
    guide, flat = rand(20, 23).to(device), torch.full((20, 23), 0.3, dtype=torch.float64, device=device)
    arguments = {"radius": 4, "eps": 1e-4, "iterations": 3, "subsample": subsample}
    for result in (
        weighted_guided_filter(guide, flat, **arguments),
        weighted_guided_filter(flat, flat, **arguments),
        smooth_guide(flat, **arguments),
    ):
        torch.testing.assert_close(result, flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("subsample", [1, 4])
def test_a_huge_offset_does_not_hurt_float32(subsample, device):
    # Steps of 2^-10 are exact in float32 at 10,000 too, so that only the filter could lose them.
    guide, src = ((rand(64, 80, seed=s) * 1024).round().div(1024).float().to(device) for s in (7, 8))
    arguments = {"radius": 5, "eps": 1e-3, "subsample": subsample, "iterations": 2}
    plain = weighted_guided_filter(guide, src, **arguments)
    offset = weighted_guided_filter(guide + 1e4, src, **arguments)
    torch.testing.assert_close(offset, plain, rtol=0, atol=2e-5)
    plain = smooth_guide(guide, **arguments)
    torch.testing.assert_close(smooth_guide(guide + 1e4, **arguments) - 1e4, plain, rtol=0, atol=1e-3)


def test_batches_and_non_contiguous_input(device):
    image = rand(44, 36, 3).to(device).permute(2, 1, 0)[:, ::2, ::2]
    for subsample in (1, 2):
        arguments = {"radius": 3, "eps": 1e-2, "iterations": 2, "subsample": subsample}
        result = smooth_guide(image, **arguments)
        filtered = weighted_guided_filter(image[0], image, **arguments)
        for i in range(3):
            one = image[i].contiguous()
            torch.testing.assert_close(result[i], smooth_guide(one, **arguments))
            expected = weighted_guided_filter(image[0].contiguous(), one, **arguments)
            torch.testing.assert_close(filtered[i], expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2)])
def test_tiny_images_are_filtered_on_coarse_cells(shape, device):
    image = rand(*shape).to(device)
    result = smooth_guide(image, radius=16, eps=0.005, iterations=7, subsample=8)
    assert result.shape == image.shape
    assert (result >= image.min() - 0.1).all()
    assert (result <= image.max() + 0.1).all()


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"eps": 0.0}, "eps"),
        ({"eps": -1.0}, "eps"),
        ({"radius": 0.5}, "radius"),
        ({"iterations": 0}, "iterations"),
        ({"subsample": 0}, "subsample"),
    ],
)
def test_bad_arguments_are_named(arguments, argument, device):
    flat = torch.zeros(8, 8, device=device)
    arguments = {"radius": 2, "eps": 0.1, "iterations": 2, "subsample": 2} | arguments
    for run in (lambda **k: weighted_guided_filter(flat, flat, **k), lambda **k: smooth_guide(flat, **k)):
        with pytest.raises(InputError, match=f"^{argument}:"):
            run(**arguments)


def test_bad_images_are_named(device):
    with pytest.raises(InputError, match=r"^image:"):
        smooth_guide(torch.zeros(8, device=device), radius=1, eps=0.1, iterations=1)
    with pytest.raises(InputError, match=r"^guide:"):
        edge_weight(torch.zeros(8, 8, dtype=torch.int16, device=device))
    with pytest.raises(InputError, match=r"^value_range:"):
        edge_weight(torch.zeros(8, 8, device=device), value_range=0)
    with pytest.raises(InputError, match=r"^src:"):
        weighted_guided_filter(torch.zeros(8, 8), torch.zeros(8, 9), radius=1, eps=0.1)
    with pytest.raises(InputError, match=r"^guide:"):
        weighted_statistics(torch.zeros(8, 8, device=device), CellGrid(8, 8, 2), radius=1, eps=0.1)
