"""Kind python_fn: a Python function by its registered name."""

from typing import Annotated, Final

from pydantic import Field

from engine.blueprint.kind_rules import KindRules
from engine.blueprint.strict import Strict


class PythonFnSpec(Strict):
    """`spec` of kind python_fn: the registered name of a function."""

    fn_id: Annotated[str, Field(min_length=1, max_length=256)]


RULES: Final = KindRules(PythonFnSpec)
