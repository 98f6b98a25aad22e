"""Flows and Blueprints as Python: nodes by functions, expressions by operators on `ctx`.

The guide docs/guides/the-python-builder.md shows it. What is built is a document of the
dialect `swarm`, the same program as its YAML and Lua forms.
"""

from engine.agents import (
    AgentFailed,
    AgentFunction,
    AgentResult,
    AgentStep,
    agent_function,
    blocked,
)
from engine.build.blueprint import Blueprint, Limit, Retry
from engine.build.expressions import (
    Expression,
    all_,
    and_,
    any_,
    call_extern,
    ctx,
    default,
    exists,
    expr,
    filter_,
    functions,
    in_,
    map_,
    not_,
    or_,
    sort_by,
    template,
)
from engine.build.nodes import (
    Node,
    branch,
    delete,
    fanout,
    let,
    loop,
    seq,
    step,
    try_,
)

__all__ = [
    "AgentFailed",
    "AgentFunction",
    "AgentResult",
    "AgentStep",
    "Blueprint",
    "Expression",
    "Limit",
    "Node",
    "Retry",
    "agent_function",
    "all_",
    "and_",
    "any_",
    "blocked",
    "branch",
    "call_extern",
    "ctx",
    "default",
    "delete",
    "exists",
    "expr",
    "fanout",
    "filter_",
    "functions",
    "in_",
    "let",
    "loop",
    "map_",
    "not_",
    "or_",
    "seq",
    "sort_by",
    "step",
    "template",
    "try_",
]
