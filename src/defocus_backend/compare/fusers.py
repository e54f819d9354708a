"""The published fusion methods by name: the one registry that the benchmarks and the command line read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from defocus_backend.compare.gfdf import gfdf
from defocus_backend.compare.gff import gff
from defocus_backend.compare.ifgd import ifgd
from defocus_backend.compare.laplacian_argmax import laplacian_argmax
from defocus_backend.compare.mean import mean
from defocus_backend.compare.pyramid import laplacian_pyramid
from defocus_backend.errors import InputError


@dataclass(frozen=True, kw_only=True)
class FusionMethod:
    """A published way to fuse images of different focus.

    Attributes
    ----------
    name : str
        Key of `FUSION_METHODS`.
    function : callable
        ``(sources, *, channel_axis=None, data_range=None, **parameters) -> image``, the paper's parameters as
        keyword defaults.
    citation : str
        Who described it.
    """

    name: str
    function: Callable[..., NDArray[Any]]
    citation: str


FUSION_METHODS: dict[str, FusionMethod] = {
    method.name: method
    for method in (
        FusionMethod(name="mean", function=mean, citation="arithmetic mean"),
        FusionMethod(
            name="laplacian_argmax",
            function=laplacian_argmax,
            citation="Nayar and Nakagawa 1994, doi:10.1109/34.308479",
        ),
        FusionMethod(
            name="pyramid",
            function=laplacian_pyramid,
            citation="Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851",
        ),
        FusionMethod(name="gff", function=gff, citation="Li, Kang and Hu 2013, doi:10.1109/TIP.2013.2244222"),
        FusionMethod(
            name="gfdf",
            function=gfdf,
            citation="Qiu, Li, Zhang and Yuan 2019, doi:10.1016/j.image.2018.12.004",
        ),
        FusionMethod(
            name="ifgd",
            function=ifgd,
            citation="Paul, Sevcenco and Agathoklis 2016, doi:10.1142/S0218126616501231",
        ),
    )
}
"""All fusion methods by name."""


def fuse_with(
    name: str,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    data_range: float | None = None,
    **parameters: Any,
) -> NDArray[Any]:
    """Fuse with a published method.

    Parameters
    ----------
    name : str
        Key of `FUSION_METHODS`.
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    data_range : float, optional
        The value of white; by default 255 for float images and the largest value of an integer type.
    **parameters
        Of the method; by default those of its paper.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype.

    Raises
    ------
    InputError
        If the name is unknown or the sources cannot be used.
    """
    if name not in FUSION_METHODS:
        raise InputError("name", repr(name), "one of " + ", ".join(FUSION_METHODS))
    return FUSION_METHODS[name].function(sources, channel_axis=channel_axis, data_range=data_range, **parameters)
