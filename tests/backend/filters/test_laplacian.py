import numpy as np
import pytest
import torch
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.filters import laplacian, laplacian_variance

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return request.param


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (2, 2), (17, 13)])
def test_equals_scipy(shape, mode, dtype, device):
    x = torch.rand(shape, dtype=dtype)
    result = laplacian(x.to(device), mode=mode)
    assert result.dtype == dtype
    reference = ndimage.laplace(x.double().numpy(), mode=mode)
    np.testing.assert_allclose(result.cpu(), reference, atol=TOLERANCE[dtype])


def test_a_paraboloid_has_a_constant_laplacian(device):
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(12.0), indexing="ij")
    result = laplacian((3 * x**2 - y**2 + 7 * x + 1e4).to(device))
    assert torch.equal(result[1:-1, 1:-1], torch.full((7, 10), 4.0, device=device))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_variance_is_equation_5(dtype, device):
    patches = (255 * torch.rand(2, 3, 32, 32)).round().to(dtype)
    result = laplacian_variance(patches.to(device)).cpu()
    assert result.shape == (2, 3)
    assert result.dtype == dtype
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for i in np.ndindex(2, 3):
        smooth = ndimage.convolve(patches[i].double().numpy(), kernel, mode="reflect")
        assert float(result[i]) == pytest.approx(np.var(ndimage.laplace(smooth)), rel=1e-5)


def test_variance_falls_with_blur_and_ignores_brightness(device):
    generator = np.random.default_rng(3)
    image = generator.uniform(0, 200, (32, 32))
    patches = torch.stack([torch.from_numpy(ndimage.gaussian_filter(image, s)) for s in (0, 0.5, 1, 2, 4)])
    phi = laplacian_variance(patches.to(device))
    assert phi[0] > 1000
    assert (phi.diff() < 0).all()
    torch.testing.assert_close(laplacian_variance(patches.to(device) + 55), phi)
    assert laplacian_variance(torch.full((32, 32), 99.0, device=device)) == 0


def test_non_contiguous_patches(device):
    x = torch.rand(70, 4, 70, device=device).permute(1, 2, 0)[:, ::2, ::2]
    torch.testing.assert_close(laplacian(x), laplacian(x.contiguous()))
    torch.testing.assert_close(laplacian_variance(x), laplacian_variance(x.contiguous()))


def test_bad_arguments_are_named(device):
    with pytest.raises(InputError, match=r"^x:"):
        laplacian(torch.zeros(3))
    with pytest.raises(InputError, match=r"^mode:"):
        laplacian(torch.zeros(1, 1, device=device), mode="wrap")
    with pytest.raises(InputError, match=r"^patches:"):
        laplacian_variance(torch.zeros(32, 32, dtype=torch.uint8))
