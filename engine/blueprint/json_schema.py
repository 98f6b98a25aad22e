"""The shape of a Blueprint as JSON Schema, made of the models and the grammar."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from engine.blueprint.binding import KIND_ALIASES
from engine.blueprint.kinds import KINDS
from engine.blueprint.lints.unknown_spawner_hint import LAYERS
from engine.blueprint.schema import Blueprint
from engine.flow.decode import LARGEST_INTEGER
from engine.flow.grammar import DIALECTS, JOINS, NODES, OPS, Dialect, Field, Word
from engine.flow.json_text import Json

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
REF: Final = "#/$defs/{model}"
PATH: Final = r"^(\$|ctx)($|[.\[])"


def json_schema(kinds: Iterable[str] = ()) -> dict[str, Json]:
    """Returns the schema of whole documents, both dialects included.

    It takes what the compiler's shape takes; `kinds` are those that an installation adds.
    What one field can't see alone (names that must exist, texts inside texts such as
    paths and placeholders, a number that another one bounds) is the compiler's: a
    document that this schema takes may still have errors.
    """
    schema = Blueprint.model_json_schema(by_alias=True, ref_template=REF)
    defs = schema.setdefault("$defs", {})
    for dialect in DIALECTS:
        _add_words(defs, "Node", "kind", NODES, dialect)
        _add_words(defs, "Expr", "op", OPS, dialect)
    schema["properties"]["flow"] = True
    for rules in KINDS.values():
        for model in (rules.spec, *rules.forms):
            part = model.model_json_schema(by_alias=True, ref_template=REF)
            defs.update(part.pop("$defs", {}))
            defs[model.__name__] = part
    layers = defs["SpawnerHints"]["properties"]["layers"]
    layers["items"] = {"enum": list(LAYERS)}
    schema["allOf"] = [
        *(_for_dialect(dialect) for dialect in DIALECTS),
        *(_for_kind(kind) for kind in KINDS),
        _known_kinds(sorted({*KINDS, *KIND_ALIASES, *kinds})),
        _some_kind(),
    ]
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
    """Returns what flow and limits are made of where a document says a dialect."""
    said: dict[str, Any] = {"properties": {"dialect": {"const": dialect}}}
    if dialect != "flow.ir":
        said["required"] = ["dialect"]
    limit = _below("key", _ref(_name("Expr", dialect)))
    limits = {
        "if": {"type": "object"},
        "then": {"additionalProperties": _below("limit", limit)},
    }
    then = {
        "flow": _ref(_name("Node", dialect)),
        "hints": _below("per_agent", limits),
    }
    return {"if": said, "then": {"properties": then}}


def _for_kind(kind: str) -> dict[str, Json]:
    """Returns the shape of agents of a kind, their own or the document's default."""
    words = [kind, *(old for old, new in KIND_ALIASES.items() if new == kind)]
    own = {"properties": {"kind": {"enum": words}}, "required": ["kind"]}
    shape = _agent_shape(kind)
    by_default = {
        "properties": {"default_agent_kind": {"enum": words}},
        "required": ["default_agent_kind"],
    }
    return {
        **_agents({"if": own, "then": shape}),
        "if": by_default,
        "then": _agents({"if": _NO_KIND, "then": shape}),
    }


def _agent_shape(kind: str) -> dict[str, Json]:
    rules = KINDS[kind]
    if rules.shape is not None:
        return rules.shape
    spec = _ref(rules.spec.__name__)
    try:
        # None at all is read as an empty one.
        rules.spec.model_validate({})
    except ValidationError:
        return {"properties": {"spec": spec}, "required": ["spec"]}
    return {"properties": {"spec": {"anyOf": [spec, {"type": "null"}]}}}


def _known_kinds(words: list[str]) -> dict[str, Json]:
    """Returns that kinds are known, unless agents of others are dropped."""
    agents = _agents({"properties": {"kind": {"enum": [*words, "", None]}}})
    agents["properties"]["default_agent_kind"] = {"enum": [*words, None]}
    return {"if": _DROPS, "else": agents}


def _some_kind() -> dict[str, Json]:
    """Returns that every agent has a kind where the document gives none."""
    given = {
        "properties": {"default_agent_kind": {"type": "string"}},
        "required": ["default_agent_kind"],
    }
    return {"if": {"anyOf": [_DROPS, given]}, "else": _agents({"not": _NO_KIND})}


_NO_KIND: Final[dict[str, Json]] = {
    "anyOf": [
        {"not": {"required": ["kind"]}},
        {"properties": {"kind": {"enum": ["", None]}}},
    ]
}
_DROPS: Final[dict[str, Json]] = {
    "properties": {
        "strategy": {
            "type": "object",
            "properties": {"strict_kind": {"const": False}},
            "required": ["strict_kind"],
        }
    },
    "required": ["strategy"],
}


def _agents(one: dict[str, Json]) -> dict[str, Json]:
    return {
        "properties": {"agents": {"items": {"if": {"type": "object"}, "then": one}}}
    }


def _below(name: str, schema: Json) -> dict[str, Json]:
    """Returns that a field of an object, if there is one, is of a schema."""
    return {"if": {"type": "object"}, "then": {"properties": {name: schema}}}
