"""All that a fusion depends on beside the slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike

from defocus_backend.errors import InputError
from defocus_backend.fusion.blend import Blend
from defocus_backend.fusion.brightness import MatchExposure
from defocus_backend.fusion.decision import Decision
from defocus_backend.methods import BLENDS, DECISIONS
from defocus_backend.params import NEVER_ABOVE, FusionParams, SliceMapParams

_FAST_POOLING = 4
"""Least pooling in the fast mode."""
_OWNED = {"radius": "refine_radius", "eps": "refine_eps"}


@dataclass(frozen=True, kw_only=True)
class FusionSettings:
    """The options of `fuse`, checked and in groups.

    Attributes
    ----------
    fusion : FusionParams
    maps : SliceMapParams
    weights, z, z_step, never_above, value_range, match_exposure, keep_slices, device
        See `defocus_backend.fuse`.
    """

    fusion: FusionParams = field(default_factory=FusionParams)
    maps: SliceMapParams = field(default_factory=SliceMapParams)
    weights: str | Path | None = None
    z: ArrayLike | None = None
    z_step: float | None = None
    never_above: float = NEVER_ABOVE
    value_range: tuple[float, float] | None = None
    match_exposure: MatchExposure = "auto"
    keep_slices: bool = False
    device: str | torch.device = "auto"

    def __post_init__(self) -> None:
        if not self.never_above > 0:
            raise InputError("never_above", repr(self.never_above), "more than 0 pixels")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> FusionSettings:
        """The settings for options under the names that `fuse` gives them; raise `InputError` for any other."""
        maps = {public: name for name, public in fusion_option_names().items()}
        mine = {f.name for f in fields(FusionParams)}
        own = {f.name for f in fields(cls)} - {"fusion", "maps"}
        for name in options:
            if name not in maps and name not in mine and name not in own:
                raise InputError("options", repr(name), "options of `fuse`; axes say which one holds the channels")
        return cls(
            fusion=FusionParams(**{n: v for n, v in options.items() if n in mine}),
            maps=SliceMapParams(**{maps[n]: v for n, v in options.items() if n in maps}),
            **{n: v for n, v in options.items() if n in own},
        )

    @property
    def decision(self) -> Decision:
        """What decides between slices."""
        found: Decision = DECISIONS[self.fusion.decision].load()
        return found

    @property
    def blend(self) -> Blend:
        """How slices are blended."""
        found: Blend = BLENDS[self.fusion.blend].load()
        return found

    @property
    def known(self) -> FusionParams:
        """The options for blending by a finished decision; a decision on whole regions keeps the slices' pixels."""
        by_score = self.blend.scored is not None and self.decision.settle is not None
        return replace(self.fusion, blend="pixels") if by_score else self.fusion

    @property
    def passes(self) -> int:
        """How often every slice is read: once if they can be blended by their scores as they come."""
        return 1 if self.blend.scored is not None and self.decision.settle is None else 2

    @property
    def pooling(self) -> int:
        """Side in pixels of the squares on which sigma is found."""
        return max(self.maps.pooling, _FAST_POOLING) if self.fusion.fast else self.maps.pooling

    def with_z_step(self, z_step: float | None) -> FusionSettings:
        """The same with this distance of neighbouring slices, unless positions or a distance were given."""
        given = z_step is None or self.z is not None or self.z_step is not None
        return self if given else replace(self, z_step=z_step)


def fusion_option_names() -> dict[str, str]:
    """How `fuse` names each field of `SliceMapParams`, for interfaces that offer both groups."""
    return {f.name: _OWNED.get(f.name, f.name) for f in fields(SliceMapParams)}
