"""Fusion quality: how much of the sources a fused image preserves, and how close it is to a ground truth.

Every function takes gray or colour images of any real dtype; `arrays.as_float64` lists the default value ranges.
The fusion metrics are computed on gray images, as in the publications.

The fusion metrics predict true quality poorly. On 710 pairs with ground truth, their rank correlation with PSNR is
.13 to .36, and .53 for QW. Use `psnr` and `ssim` where a ground truth is available.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from defocus_backend.arrays import BYTE_WHITE, as_float64, float_white
from defocus_backend.errors import InputError
from defocus_backend.metrics.gradient import qg
from defocus_backend.metrics.gray import gray_case
from defocus_backend.metrics.information import mutual_information, qfmi
from defocus_backend.metrics.parallel import each
from defocus_backend.metrics.perception import qcb, qcb_unit
from defocus_backend.metrics.phase import qp
from defocus_backend.metrics.reference import psnr, ssim
from defocus_backend.metrics.structure import qw, qy

__all__ = [
    "FUSION_METRICS",
    "REFERENCE_METRICS",
    "evaluate",
    "mutual_information",
    "psnr",
    "qcb",
    "qcb_unit",
    "qfmi",
    "qg",
    "qp",
    "qw",
    "qy",
    "ssim",
]

FUSION_METRICS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "QG": qg,
        "QP": qp,
        "QY": qy,
        "QCB": qcb,
        "QCB_unit": qcb_unit,
        "QFMI": qfmi,
        "QW": qw,
        "MI": mutual_information,
        "QMI": partial(mutual_information, normalised=True),
    }
)
"""Metrics of a fused image and its sources, ``f(fused, sources, *, channel_axis, value_range)``."""

REFERENCE_METRICS: Mapping[str, Callable[..., float]] = MappingProxyType({"PSNR": psnr, "SSIM": ssim})
"""Metrics of an image and its ground truth, ``f(image, reference, *, channel_axis, value_range)``."""


def evaluate(
    fused: Any,
    sources: Iterable[Any],
    *,
    reference: Any = None,
    names: Iterable[str] | None = None,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> dict[str, float]:
    """Score a fused image against its sources and, if given, against the ground truth.

    Parameters
    ----------
    fused : (H, W[, C]) array_like
        Fused image, 8 x 8 or larger for all metrics (11 x 11 with a reference).
    sources : iterable of (H, W[, C]) array_like
        Two or more source images.
    reference : (H, W[, C]) array_like, optional
        The all-in-focus image; adds PSNR and SSIM, which are computed on colour.
    names : iterable of str, optional
        Which metrics, from `FUSION_METRICS` and `REFERENCE_METRICS`; by default all that can be computed.
    channel_axis : int, optional
        Axis of the channels within one image.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    dict of str to float
        In the order of `names`. Larger is better throughout.

    Raises
    ------
    InputError
        If a name is unknown, PSNR or SSIM is requested without a reference, or the images do not match.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.tile(np.arange(32.0) * 8, (32, 1))
    >>> evaluate(ramp, [ramp, ramp], names=["QY", "QW"])
    {'QY': 1.0, 'QW': 1.0}
    """
    known = {**FUSION_METRICS, **REFERENCE_METRICS}
    if isinstance(names, str):
        names = [names]
    wanted = [n for n in known if reference is not None or n in FUSION_METRICS] if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise InputError("names", repr(name), f"names out of {', '.join(known)}")
        if name in REFERENCE_METRICS and reference is None:
            raise InputError("reference", "None", f"the true image, which {name} needs")
    named = {"fused": fused, **{f"sources[{n}]": source for n, source in enumerate(sources)}}
    if reference is not None:
        named["reference"] = reference
    white = float_white(named.values())
    # Read once, so that all images have the same value range in every metric.
    read = {
        name: as_float64(image, name, channel_axis=channel_axis, value_range=value_range, white=white)
        for name, image in named.items()
    }
    options: dict[str, Any] = {"value_range": (0, BYTE_WHITE)}
    colour = {**options, "channel_axis": None if channel_axis is None else -1}
    gray, stack = gray_case(read["fused"], [read[n] for n in named if n.startswith("sources")], **colour)

    def score(name: str) -> float:
        if name in FUSION_METRICS:
            return FUSION_METRICS[name](gray, stack, **options)
        return REFERENCE_METRICS[name](read["fused"], read["reference"], **colour)

    return dict(zip(wanted, each(score, wanted), strict=True))
