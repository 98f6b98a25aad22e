"""Blueprints: their schema, the compiler and the Program it makes of one."""

from engine.blueprint.analysis.view import LintOptions
from engine.blueprint.compiler import compile_blueprint
from engine.blueprint.findings.diagnostics import BlueprintInvalid, Diagnostic, Level
from engine.blueprint.json_schema import json_schema
from engine.blueprint.lint import LintReport, lint_blueprint
from engine.blueprint.program import Agent, Program, Retry, merge_init_ctx
from engine.blueprint.upgrade import upgrade

__all__ = [
    "Agent",
    "BlueprintInvalid",
    "Diagnostic",
    "Level",
    "LintOptions",
    "LintReport",
    "Program",
    "Retry",
    "compile_blueprint",
    "json_schema",
    "lint_blueprint",
    "merge_init_ctx",
    "upgrade",
]
