import numpy as np
import pytest
import torch
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.filters import gaussian_blur
from defocus_backend.filters.gaussian import border_index

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-13}
MODES = ["reflect", "mirror", "nearest"]


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return request.param


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.3, 9.0, 30.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 2), (65, 33), (140, 161)])
def test_equals_scipy(shape, sigma, mode, dtype, device):
    x = torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(2))
    result = gaussian_blur(x.to(device), sigma, mode=mode)
    assert result.dtype == dtype
    reference = ndimage.gaussian_filter(x.double().numpy(), sigma, mode=mode)
    np.testing.assert_allclose(result.cpu(), reference, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("truncate", [1.0, 2.5, 6.0])
def test_truncation_equals_scipy(truncate, device):
    x = torch.rand(31, 42, dtype=torch.float64)
    result = gaussian_blur(x.to(device), 2.2, truncate=truncate).cpu()
    np.testing.assert_allclose(result, ndimage.gaussian_filter(x.numpy(), 2.2, truncate=truncate), atol=1e-13)


def test_sigma_zero_returns_the_input(device):
    x = torch.rand(5, 6, device=device)
    assert gaussian_blur(x, 0) is x


def test_blurs_add_in_variance(device):
    # A Gaussian of 3 and one of 4 make one of 5; truncated at 6 sigma what is cut off is below 1e-8.
    x = torch.zeros(121, 121, dtype=torch.float64, device=device)
    x[60, 60] = 1
    twice = gaussian_blur(gaussian_blur(x, 3, truncate=6), 4, truncate=6)
    torch.testing.assert_close(twice, gaussian_blur(x, 5, truncate=6), rtol=0, atol=1e-8)


def test_batches_and_non_contiguous_input(device):
    x = torch.rand(50, 40, 6, device=device).permute(2, 1, 0)[::2, :, ::2].unflatten(0, (3, 1))
    result = gaussian_blur(x, 1.7)
    for i in range(3):
        torch.testing.assert_close(result[i, 0], gaussian_blur(x[i, 0].contiguous(), 1.7))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_border_index_equals_numpy_padding(length, mode):
    numpy_mode = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge"}[mode]
    padded = np.pad(np.arange(length), 13, mode=numpy_mode)
    np.testing.assert_array_equal(border_index(length, -13, length + 13, mode=mode), padded)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"x": torch.zeros(3)}, "x"),
        ({"x": torch.zeros(3, 3, dtype=torch.int32)}, "x"),
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": float("nan")}, "sigma"),
        ({"sigma": float("inf")}, "sigma"),
        ({"truncate": 0.0}, "truncate"),
        ({"mode": "wrap"}, "mode"),
    ],
)
def test_bad_arguments_are_named(arguments, argument):
    arguments = {"x": torch.zeros(3, 3), "sigma": 1.0} | arguments
    with pytest.raises(InputError, match=f"^{argument}:"):
        gaussian_blur(arguments.pop("x"), arguments.pop("sigma"), **arguments)


def test_an_image_tracks_gradients_after_one_that_was_filtered_in_inference_mode():
    flat = torch.full((9, 11), 2.0)
    with torch.inference_mode():
        gaussian_blur(flat, 1.7)
    tracked = flat.clone().requires_grad_()
    gaussian_blur(tracked, 1.7).sum().backward()
    # The kernel sums to one and the border reflects: every pixel gives away as much as it has.
    assert torch.allclose(tracked.grad, torch.ones_like(flat), atol=1e-5)
