"""Blueprints: their schema, the compiler and the Program it makes of one."""

from engine.blueprint.compiler import compile_blueprint
from engine.blueprint.diagnostics import BlueprintInvalid, Diagnostic
from engine.blueprint.program import Agent, Program, Retry, merge_init_ctx

__all__ = [
    "Agent",
    "BlueprintInvalid",
    "Diagnostic",
    "Program",
    "Retry",
    "compile_blueprint",
    "merge_init_ctx",
]
