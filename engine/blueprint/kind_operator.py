"""Kind operator: whoever sits on a logical seat does the work."""

from typing import Final

from engine.blueprint.kind_rules import KindRules
from engine.blueprint.strict import Name, Strict


class OperatorSpec(Strict):
    """`spec` of kind operator: the name of a seat among `operators`."""

    operator_ref: Name


RULES: Final = KindRules(OperatorSpec, answers=True)
