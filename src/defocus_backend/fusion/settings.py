"""What the options of `fuse` mean: the decision and the blend that they name, and what follows from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from defocus_backend.errors import InputError
from defocus_backend.fusion.blend import Blend
from defocus_backend.fusion.decision import Decision
from defocus_backend.methods import BLENDS, DECISIONS
from defocus_backend.options import unknown_option
from defocus_backend.params import FusionParams

_FAST_POOLING = 4
"""Least pooling in the fast mode."""
_FINEST_HEIGHT = 2
"""Side in pixels of the cells on which the height is found, where sigma is not found on smaller ones."""


@dataclass(frozen=True, kw_only=True)
class FusionSettings(FusionParams):
    """The options of `fuse` with what they stand for."""

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> Self:
        """The settings for the arguments of `fuse`; raise `InputError` for any other name."""
        known = [f.name for f in fields(cls)]
        for name in options:
            if name in known:
                continue
            for group, kind in cls.groups().items():
                if name in kind.names():
                    raise InputError(
                        name, "this option as an argument of `fuse`", f"{group}={kind.__name__}({name}=...)"
                    )
            raise unknown_option(name, known)
        return cls(**options)

    @property
    def decider(self) -> Decision:
        """What decides between slices."""
        found: Decision = DECISIONS[self.decision].load()
        return found

    @property
    def blender(self) -> Blend:
        """How slices are blended."""
        found: Blend = BLENDS[self.blend].load()
        return found

    @property
    def known_blend(self) -> str:
        """The blend by a finished decision; a decision on whole regions keeps the slices' pixels."""
        by_score = self.blender.scored is not None and self.decider.settle is not None
        return "pixels" if by_score else self.blend

    @property
    def passes(self) -> int:
        """How often every slice is read: once if they can be blended by their scores as they come."""
        return 1 if self.blender.scored is not None and self.decider.settle is None else 2

    @property
    def pooling(self) -> int:
        """Side in pixels of the squares on which sigma is found."""
        side = self.map_settings.pooling
        return max(side, _FAST_POOLING) if self.fast else side

    @property
    def cells(self) -> int:
        """Side in pixels of the squares on which the height is found."""
        return min(self.pooling, _FINEST_HEIGHT)

    def with_z_step(self, z_step: float | None) -> Self:
        """The same with this distance of neighbouring slices, unless positions or a distance were given."""
        given = z_step is None or self.z is not None or self.z_step is not None
        return self if given else replace(self, z_step=z_step)
