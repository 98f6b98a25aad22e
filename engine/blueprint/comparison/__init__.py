"""What changed from one version of a Blueprint to another, and which one changed it."""

from engine.blueprint.comparison.blame import Blame, Version, blame
from engine.blueprint.comparison.changes import (
    Change,
    Comparison,
    FieldChange,
    compare,
)
from engine.blueprint.comparison.identity import Previous, identify
from engine.blueprint.comparison.matching import Identities
from engine.blueprint.comparison.printing import print_comparison
from engine.blueprint.comparison.readable import readable_text

__all__ = [
    "Blame",
    "Change",
    "Comparison",
    "FieldChange",
    "Identities",
    "Previous",
    "Version",
    "blame",
    "compare",
    "identify",
    "print_comparison",
    "readable_text",
]
