"""The shape of a Blueprint as JSON Schema, made of the models and the grammar."""

from collections.abc import Mapping
from typing import Any, Final

from engine.blueprint.binding import KIND_ALIASES
from engine.blueprint.kinds import KINDS
from engine.blueprint.schema import Blueprint
from engine.flow.decode import LARGEST_INTEGER
from engine.flow.grammar import DIALECTS, JOINS, NODES, OPS, Dialect, Field, Word
from engine.flow.json_text import Json

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
REF: Final = "#/$defs/{model}"
PATH: Final = r"^(\$|ctx)($|[.\[])"


def json_schema() -> dict[str, Json]:
    """Returns the schema of whole documents, both dialects included.

    What one field can't see alone (names that must exist, the grammar of paths) is the
    compiler's: a document that this schema takes may still have errors.
    """
    schema = Blueprint.model_json_schema(by_alias=True, ref_template=REF)
    defs = schema.setdefault("$defs", {})
    for dialect in DIALECTS:
        _add_words(defs, "Node", "kind", NODES, dialect)
        _add_words(defs, "Expr", "op", OPS, dialect)
    schema["properties"]["flow"] = True
    schema["allOf"] = [_for_dialect(dialect) for dialect in DIALECTS]
    for kind, rules in KINDS.items():
        part = rules.spec.model_json_schema(by_alias=True, ref_template=REF)
        defs.update(part.pop("$defs", {}))
        defs[rules.spec.__name__] = part
        defs["AgentDef"].setdefault("allOf", []).append(_for_kind(kind))
    return {"$schema": DRAFT, **schema}


def _add_words(
    defs: dict[str, Json],
    model: str,
    tag: str,
    words: tuple[Word, ...],
    dialect: Dialect,
) -> None:
    """Adds the schema of one sort of object, told apart by its tag.

    `if` and not `oneOf`: so a validator goes down one way only, and says what is wrong
    there.
    """
    name = _name(model, dialect)
    known = [word for word in words if word.dialect in ("flow.ir", dialect)]
    cases = []
    for word in known:
        one = f"{name}.{word.name}"
        defs[one] = _word(tag, word.in_dialect(dialect), dialect)
        cases.append({"if": _tagged(tag, word.name), "then": _ref(one)})
    defs[name] = {
        "type": "object",
        "properties": {tag: {"enum": [word.name for word in known]}},
        "required": [tag],
        "allOf": cases,
    }


def _tagged(tag: str, word: str) -> dict[str, Json]:
    return {"properties": {tag: {"const": word}}, "required": [tag]}


def _name(model: str, dialect: Dialect) -> str:
    return model if dialect == "flow.ir" else f"Swarm{model}"


def _ref(model: str) -> dict[str, Json]:
    return {"$ref": REF.format(model=model)}


def _word(tag: str, word: Word, dialect: Dialect) -> dict[str, Json]:
    properties: dict[str, Json] = {tag: {"const": word.name}}
    for field in word.fields:
        properties[field.name] = _field(field, dialect)
    required = [field.name for field in word.fields if not field.optional]
    return {
        "title": word.name,
        "description": word.text,
        "type": "object",
        "properties": properties,
        "required": [tag, *required],
        "additionalProperties": False,
    }


def _field(field: Field, dialect: Dialect) -> Json:
    node, expr = _ref(_name("Node", dialect)), _ref(_name("Expr", dialect))
    sorts: Mapping[str, Json] = {
        "expression": expr,
        "path expression": expr,
        "expressions": {"type": "array", "items": expr},
        "node": node,
        "nodes": {"type": "array", "items": node},
        "path": {"type": "string", "pattern": PATH},
        "text": {"type": "string"},
        "JSON": True,
        "join": {"enum": [join.name for join in JOINS]},
        "integer": {
            "type": "integer",
            "minimum": 1 if field.name == "max_parallel" else 0,
            "maximum": LARGEST_INTEGER,
        },
        "`continue` or `fail`": {"enum": ["continue", "fail"]},
        "`text` or `object`": {"enum": ["text", "object"]},
    }
    if field.name == "err_at":
        return {"if": {"type": "object"}, "then": expr, "else": {"type": "null"}}
    return sorts[field.sort]


def _for_dialect(dialect: Dialect) -> dict[str, Json]:
    """Returns which nodes the flow is made of where a document says a dialect."""
    said: dict[str, Any] = {"properties": {"dialect": {"const": dialect}}}
    if dialect != "flow.ir":
        said["required"] = ["dialect"]
    return {"if": said, "then": {"properties": {"flow": _ref(_name("Node", dialect))}}}


def _for_kind(kind: str) -> dict[str, Json]:
    """Returns the shape of the spec of an agent of a kind.

    An agent with a runner of its own may leave its spec empty.
    """
    words = [kind, *(old for old, new in KIND_ALIASES.items() if new == kind)]
    spec = _ref(KINDS[kind].spec.__name__)
    then: dict[str, Json] = {
        "properties": {"spec": {"anyOf": [spec, {"type": "null"}]}}
    }
    rule: dict[str, Json] = {
        "if": {"properties": {"kind": {"enum": words}}, "required": ["kind"]},
        "then": then,
    }
    if kind == "subprocess":
        empty = {"type": "object", "additionalProperties": False}
        then["properties"]["spec"]["anyOf"].append(empty)
    return rule
