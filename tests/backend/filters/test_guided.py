from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from defocus_backend.errors import InputError
from defocus_backend.filters import (
    CellGrid,
    GuideStatistics,
    LocalLinearModel,
    cell_mean,
    guided_coefficients,
    guided_filter,
)

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}
ORACLES = Path(__file__).parent / "oracles"


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return request.param


def rand(*shape, dtype=torch.float64, seed=4):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def by_definition(guide, src, radius, eps):
    """Fit every window by itself, then average over the windows that hold a pixel."""
    height, width = guide.shape
    a, b, total, count = (np.zeros((height, width)) for _ in range(4))
    spans = [
        (slice(max(y - radius, 0), y + radius + 1), slice(max(x - radius, 0), x + radius + 1))
        for y in range(height)
        for x in range(width)
    ]
    for span in spans:
        i, p = guide[span].ravel(), src[span].ravel()
        slope = np.mean((i - i.mean()) * (p - p.mean())) / (i.var() + eps)
        a[span] += slope
        b[span] += p.mean() - slope * i.mean()
        total[span] += slope * guide[span] + p.mean() - slope * i.mean()
        count[span] += 1
    return a / count, b / count, total / count


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("shape", "radius"), [((1, 1), 3), ((1, 7), 2), ((9, 2), 1), ((13, 11), 2), ((13, 11), 30)])
def test_equals_the_definition(shape, radius, dtype, device):
    guide, src = rand(*shape, dtype=dtype), rand(*shape, dtype=dtype, seed=5)
    a, b, q = by_definition(guide.double().numpy(), src.double().numpy(), radius, 1e-2)
    tolerance = TOLERANCE[dtype]
    result = guided_filter(guide.to(device), src.to(device), radius=radius, eps=1e-2)
    assert result.dtype == dtype
    np.testing.assert_allclose(result.cpu(), q, atol=tolerance)
    mean_a, mean_b = guided_coefficients(guide.to(device), src.to(device), radius=radius, eps=1e-2)
    np.testing.assert_allclose(mean_a.cpu(), a, atol=tolerance)
    np.testing.assert_allclose(mean_b.cpu(), b, atol=tolerance)


def gray(name):
    """MATLAB's rgb2gray on 8 bits, then 0..1."""
    pixels = np.asarray(Image.open(ORACLES / name), dtype=np.float64)
    if pixels.ndim == 3:
        pixels = np.floor(pixels @ [0.298936, 0.587043, 0.114021] + 0.5)
    return torch.from_numpy(pixels / 255)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", ["cam", "cat", "coffee"])
def test_equals_the_authors_matlab_code(name, dtype, tolerance, device):
    a, b = (gray(f"{name}_{which}.png").to(device, dtype) for which in "AB")
    for src, which in ((a, "self"), (b, "cross"), ((a > b).to(dtype), "mask")):
        result = guided_filter(a, src, radius=7, eps=1e-3).cpu()
        np.testing.assert_allclose(result, np.load(ORACLES / f"{name}_guided_{which}.npy"), atol=tolerance)


@pytest.mark.parametrize("subsample", [1, 3])
def test_constants_stay_constant(subsample, device):
    guide, flat = rand(20, 23).to(device), torch.full((20, 23), 0.3, dtype=torch.float64, device=device)
    for g, p in ((guide, flat), (flat, flat)):
        result = guided_filter(g, p, radius=4, eps=1e-4, subsample=subsample)
        torch.testing.assert_close(result, flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("subsample", [1, 2])
def test_an_affine_change_of_the_guide_changes_nothing(subsample, device):
    guide, src = rand(31, 26).to(device), rand(31, 26, seed=6).to(device)
    once = guided_filter(guide, src, radius=4, eps=1e-3, subsample=subsample)
    other = guided_filter(-5 * guide + 2, src, radius=4, eps=25e-3, subsample=subsample)
    torch.testing.assert_close(once, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("subsample", [1, 4])
def test_a_huge_offset_does_not_hurt_float32(subsample, device):
    # Steps of 2^-10 are exact in float32 at 10,000 too, so that only the filter could lose them.
    guide, src = ((rand(64, 80, seed=s) * 1024).round().div(1024).float().to(device) for s in (7, 8))
    arguments = {"radius": 5, "eps": 1e-4, "subsample": subsample}
    plain = guided_filter(guide, src, **arguments)
    torch.testing.assert_close(guided_filter(guide + 1e4, src, **arguments), plain, rtol=0, atol=2e-5)
    torch.testing.assert_close(guided_filter(guide, src + 1e4, **arguments) - 1e4, plain, rtol=0, atol=1e-3)


def test_leading_dimensions_broadcast(device):
    guide, src = rand(19, 24).to(device), rand(2, 3, 19, 24, seed=9).to(device)
    for subsample in (1, 2):
        arguments = {"radius": 3, "eps": 1e-2, "subsample": subsample}
        result = guided_filter(guide, src, **arguments)
        assert result.shape == src.shape
        torch.testing.assert_close(result[1, 2], guided_filter(guide, src[1, 2], **arguments))
        many = guided_filter(src, guide, **arguments)
        assert many.shape == src.shape
        torch.testing.assert_close(many[0, 1], guided_filter(src[0, 1], guide, **arguments))


def test_non_contiguous_input_is_read_right_and_left_alone(device):
    guide = rand(60, 50).to(device).mT[::2, ::2]
    kept = guide.clone()
    for subsample in (1, 3):
        arguments = {"radius": 3, "eps": 1e-2, "subsample": subsample}
        expected = guided_filter(guide.contiguous(), guide.contiguous(), **arguments)
        torch.testing.assert_close(guided_filter(guide, guide, **arguments), expected)
    assert torch.equal(guide, kept)


@pytest.mark.parametrize("subsample", [2, 3, 4, 7])
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (21, 13), (24, 84)])
def test_cell_means_and_their_interpolation(shape, subsample, device):
    x = rand(*shape).to(device)
    cells = cell_mean(x, subsample)
    grid = CellGrid(*shape, subsample)
    assert tuple(cells.shape) == grid.shape
    for i, j in np.ndindex(*grid.shape):
        cell = x[i * subsample : (i + 1) * subsample, j * subsample : (j + 1) * subsample]
        assert float(cells[i, j]) == pytest.approx(float(cell.mean()))
    full = grid.interpolate(cells, 0, shape[0])
    assert full.shape == x.shape
    if shape[0] % subsample == shape[1] % subsample == 0:
        reference = functional.interpolate(cells[None, None], x.shape, mode="bilinear", align_corners=False)
        torch.testing.assert_close(full, reference[0, 0])


@pytest.mark.parametrize("subsample", [2, 3, 4])
@pytest.mark.parametrize("shape", [(3, 5), (21, 13), (24, 36)])
def test_interpolated_rows_are_those_of_the_whole(shape, subsample, device):
    grid = CellGrid(*shape, subsample)
    cells = rand(2, *grid.shape).to(device)
    whole = grid.interpolate(cells, 0, shape[0])
    for start, stop in ((0, 2), (1, 3), (shape[0] // 2, shape[0]), (shape[0] - 1, shape[0])):
        torch.testing.assert_close(grid.interpolate(cells, start, stop), whole[:, start:stop])


@pytest.mark.parametrize("subsample", [2, 3, 4, 8])
@pytest.mark.parametrize("length", [40, 41, 45, 47])
def test_a_ramp_is_not_shifted(length, subsample, device):
    ramp = torch.arange(length, dtype=torch.float64, device=device)
    image = 2 * ramp[:, None] + ramp
    grid = CellGrid(length, length, subsample)
    inside = slice(subsample, length - subsample)
    full = grid.interpolate(cell_mean(image, subsample), 0, length)
    torch.testing.assert_close(full[inside, inside], image[inside, inside])
    # Under a constant guide the filter is a box mean twice over, which leaves a ramp where it is too, as far
    # from the border as the two windows and a narrow last cell reach.
    inside = slice(3 * subsample, (length // subsample - 3) * subsample)
    result = guided_filter(torch.zeros_like(image), image, radius=subsample, eps=1e-2, subsample=subsample)
    torch.testing.assert_close(result[inside, inside], image[inside, inside])


def test_radius_is_divided_by_the_subsampling(device):
    guide, src = rand(8, 9).to(device), rand(8, 9, seed=3).to(device)
    enlarged = [x.repeat_interleave(3, 0).repeat_interleave(3, 1) for x in (guide, src)]
    result = guided_filter(*enlarged, radius=6, eps=1e-2, subsample=3)
    # The middle of each 3 x 3 cell is its centre: there nothing is interpolated.
    torch.testing.assert_close(result[1::3, 1::3], guided_filter(guide, src, radius=2, eps=1e-2))
    assert [CellGrid(9, 9, 4).radius(r) for r in (0, 1, 5, 6, 7, 16)] == [0, 1, 1, 2, 2, 4]


@pytest.mark.parametrize("name", ["cam", "cat", "coffee"])
def test_fast_form_is_close_to_the_full_one(name, device):
    a, b = (gray(f"{name}_{which}.png").to(device) for which in "AB")
    full = guided_filter(a, b, radius=16, eps=0.01)
    error = guided_filter(a, b, radius=16, eps=0.01, subsample=4) - full
    assert error.square().mean().sqrt() < 0.01
    assert error.mean().abs() < 1e-3


@pytest.mark.parametrize("subsample", [1, 3])
def test_strips_equal_the_whole(subsample, device):
    guide, src = rand(47, 31, dtype=torch.float32).to(device), rand(2, 47, 31, dtype=torch.float32).to(device)
    grid = CellGrid(47, 31, subsample)
    statistics = GuideStatistics.of(cell_mean(guide, subsample), grid, radius=6, eps=1e-3)
    model = statistics.model(cell_mean(src, subsample))
    strips = [model.rows(guide[y : y + 10], start=y) for y in range(0, 47, 10)]
    whole = guided_filter(guide, src, radius=6, eps=1e-3, subsample=subsample)
    torch.testing.assert_close(torch.cat(strips, dim=-2), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"guide": torch.zeros(8)}, "guide"),
        ({"src": torch.zeros(8, 7)}, "src"),
        ({"src": torch.zeros(8, 8, dtype=torch.float64)}, "src"),
        ({"src": torch.zeros(8, 8, dtype=torch.uint8)}, "src"),
        ({"guide": torch.zeros(2, 8, 8), "src": torch.zeros(3, 8, 8)}, "src"),
        ({"eps": 0.0}, "eps"),
        ({"eps": float("nan")}, "eps"),
        ({"radius": -1}, "radius"),
        ({"subsample": 0}, "subsample"),
        ({"subsample": 1.5}, "subsample"),
    ],
)
def test_bad_arguments_are_named(arguments, argument):
    flat = torch.zeros(8, 8)
    arguments = {"guide": flat, "src": flat, "radius": 2, "eps": 0.1} | arguments
    with pytest.raises(InputError, match=f"^{argument}:"):
        guided_filter(arguments.pop("guide"), arguments.pop("src"), **arguments)


def test_rows_outside_the_image_are_refused(device):
    cells = torch.zeros(4, 4, device=device)
    model = LocalLinearModel(CellGrid(8, 8, 2), ((cells, cells),))
    for rows, start, argument in (
        (torch.zeros(3, 8), 6, "start"),
        (torch.zeros(3, 8), -1, "start"),
        (torch.zeros(3, 7), 0, "guide"),
    ):
        with pytest.raises(InputError, match=f"^{argument}:"):
            model.rows(rows.to(device), start=start)
    with pytest.raises(InputError, match=r"^guide:"):
        model.on_cells(torch.zeros(8, 8, device=device))
    with pytest.raises(InputError, match=r"^src:"):
        GuideStatistics.of(cells, CellGrid(8, 8, 2), radius=2, eps=0.1).model(torch.zeros(8, 8, device=device))


@pytest.mark.parametrize("radius", [1, 4])
def test_strips_of_a_large_image_equal_the_whole(monkeypatch, radius):
    from defocus_backend.filters import guided

    guide, src = rand(150, 40), rand(2, 150, 40, seed=5)
    whole = guided_filter(guide, src, radius=radius, eps=1e-3)
    monkeypatch.setattr(guided, "_STRIP", 40)
    np.testing.assert_allclose(guided_filter(guide, src, radius=radius, eps=1e-3), whole, atol=1e-12)
