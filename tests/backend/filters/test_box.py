import numpy as np
import pytest
import torch

from defocus_backend.errors import InputError
from defocus_backend.filters import box, box_mean, box_sum

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return request.param


def window(x, y, column, radius):
    return x[max(y - radius, 0) : y + radius + 1, max(column - radius, 0) : column + radius + 1]


def by_definition(x, radius, reduce):
    return np.array([[reduce(window(x, y, c, radius)) for c in range(x.shape[1])] for y in range(x.shape[0])])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("radius", [0, 1, 2, 5, 6, 40])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (2, 3), (11, 13), (12, 6)])
def test_equals_the_definition(shape, radius, dtype, device):
    x = torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(1)) - 0.3
    reference = x.double().numpy()
    tolerance = TOLERANCE[dtype]
    mean = box_mean(x.to(device), radius)
    assert mean.dtype == dtype
    assert mean.device == x.to(device).device
    np.testing.assert_allclose(mean.cpu(), by_definition(reference, radius, np.mean), atol=tolerance)
    total = box_sum(x.to(device), radius).cpu()
    np.testing.assert_allclose(total, by_definition(reference, radius, np.sum), atol=x.numel() * tolerance)


def test_large_image_is_cut_into_slabs_without_seams(device, monkeypatch):
    x = torch.rand(3, 50, 210, dtype=torch.float64, device=device)
    whole = box_mean(x, 9)
    monkeypatch.setattr(box, "_SLAB", 700 if device == "cpu" else 3)
    torch.testing.assert_close(box_mean(x, 9), whole, rtol=0, atol=1e-13)


def test_leading_dimensions_are_independent_images(device):
    x = torch.rand(2, 3, 9, 8, device=device)
    result = box_mean(x, 2)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(result[i, j], box_mean(x[i, j], 2))
    assert box_mean(torch.rand(0, 9, 8, device=device), 2).shape == (0, 9, 8)


def test_non_contiguous_input_is_read_right_and_left_alone(device):
    x = torch.rand(40, 30, 4, device=device).permute(2, 1, 0)[:, ::2, ::3]
    kept = x.clone()
    torch.testing.assert_close(box_mean(x, 3), box_mean(x.contiguous(), 3))
    assert torch.equal(x, kept)
    assert box_mean(x, 0).data_ptr() != x.data_ptr()


def test_constant_stays_constant_up_to_the_border(device):
    torch.testing.assert_close(
        box_mean(torch.full((50, 70), 0.7, device=device), 6), torch.tensor(0.7).to(device).expand(50, 70)
    )


def test_long_prefix_sums_keep_float32_exact(device):
    # One bright row before a faint one: float32 prefix sums would lose the faint values altogether.
    x = torch.full((1, 4000), 1e-3, device=device)
    x[:, :2000] = 1e5
    result = box_mean(x, 2)[0, 2002:]
    torch.testing.assert_close(result, torch.full_like(result, 1e-3), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("x", "radius", "argument"),
    [
        (torch.zeros(4, 4, dtype=torch.uint8), 1, "x"),
        (torch.zeros(4, 4, dtype=torch.float16), 1, "x"),
        (torch.zeros(4), 1, "x"),
        (torch.zeros(0, 4), 1, "x"),
        (np.zeros((4, 4)), 1, "x"),
        (torch.zeros(4, 4), -1, "radius"),
        (torch.zeros(4, 4), 1.5, "radius"),
        (torch.zeros(4, 4), True, "radius"),
        (torch.zeros(4, 4), "3", "radius"),
        (torch.zeros(4, 4), float("nan"), "radius"),
    ],
)
def test_bad_arguments_are_named(x, radius, argument):
    for operator in (box_sum, box_mean):
        with pytest.raises(InputError, match=f"^{argument}:") as caught:
            operator(x, radius)
        assert caught.value.argument == argument
