"""The options of every operation, in one place for library, command line, widgets and batches."""

from defocus_backend.params.maps import (
    PAPER_REFINEMENT,
    PRECISIONS,
    InputParams,
    MapParams,
    RunParams,
    SigmaParams,
    SliceMapParams,
)
from defocus_backend.params.pictures import (
    QualityParams,
    ShallowParams,
    SharpenParams,
)
from defocus_backend.params.stacks import (
    ALIGN_DEGREES,
    ALIGN_MODELS,
    AlignParams,
    BlendParams,
    DecisionParams,
    FusionParams,
)
from defocus_backend.params.training import TrainingParams

__all__ = [
    "ALIGN_DEGREES",
    "ALIGN_MODELS",
    "PAPER_REFINEMENT",
    "PRECISIONS",
    "AlignParams",
    "BlendParams",
    "DecisionParams",
    "FusionParams",
    "InputParams",
    "MapParams",
    "QualityParams",
    "RunParams",
    "ShallowParams",
    "SharpenParams",
    "SigmaParams",
    "SliceMapParams",
    "TrainingParams",
]
