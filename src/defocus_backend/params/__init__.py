"""Options of every operation, shared by the library, the command line, the widgets and batch files."""

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
