"""Options of `fuse`, resolved to the decision and the blend that they name."""

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

_FINEST_HEIGHT = 2
"""Side of the cells of the height in pixels; smaller only if the pooling of sigma is smaller."""


@dataclass(frozen=True, kw_only=True)
class FusionSettings(FusionParams):
    """The options of `fuse`, with the objects that they name."""

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> Self:
        """Create the settings from the arguments of `fuse`; raise `InputError` for an unknown name."""
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
        """The chosen decision."""
        found: Decision = DECISIONS[self.decision].load()
        return found

    @property
    def blender(self) -> Blend:
        """The chosen blend."""
        found: Blend = BLENDS[self.blend].load()
        return found

    @property
    def known_blend(self) -> str:
        """Name of the blend by a finished decision; a decision on whole regions uses the blend pixels."""
        by_score = self.blender.scored is not None and self.decider.settle is not None
        return "pixels" if by_score else self.blend

    @property
    def passes(self) -> int:
        """Number of passes over the slices: one if they can be blended by their scores."""
        return 1 if self.blender.scored is not None and self.decider.settle is None else 2

    @property
    def pooling(self) -> int:
        """Side of the squares on which sigma is estimated, in pixels."""
        return self.map_settings.pooling

    @property
    def cells(self) -> int:
        """Side of the squares on which the height is computed, in pixels."""
        return min(self.pooling, _FINEST_HEIGHT)

    def with_z_step(self, z_step: float | None) -> Self:
        """The settings with this z step, unless positions or a z step were given."""
        given = z_step is None or self.z is not None or self.z_step is not None
        return self if given else replace(self, z_step=z_step)
