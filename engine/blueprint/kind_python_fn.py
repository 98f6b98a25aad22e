"""Kind python_fn: a Python function by its registered name."""

from typing import Final

from engine.blueprint.kind_rules import KindRules
from engine.blueprint.strict import FunctionId, Strict


class PythonFnSpec(Strict):
    """`spec` of kind python_fn: the registered name of a function."""

    fn_id: FunctionId


RULES: Final = KindRules(PythonFnSpec)
