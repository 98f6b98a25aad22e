"""The shape of a Blueprint as JSON Schema, made from the models and the grammar."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from engine.blueprint.kinds.registry import KIND_ALIASES, KINDS
from engine.blueprint.kinds.rules import AgentKind
from engine.blueprint.lints.names import LAYERS
from engine.blueprint.schema.document import Blueprint
from engine.blueprint.schema.strict import given
from engine.flow.grammar import (
    CHOICES,
    COLLECTING,
    DIALECTS,
    DOLLAR_KEYS,
    JOINS,
    LONGEST_NAME,
    NAME,
    NODES,
    OPS,
    Dialect,
    Field,
    FieldType,
    Word,
)
from engine.flow.json_text import Json
from engine.flow.parser import LARGEST_INTEGER

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
REF: Final = "#/$defs/{model}"
PATH: Final = r"^(\$|ctx)($|[.\[])"
PATH_BELOW: Final = r"^(\$|ctx)[.\[]"
SOURCE: Final = "SwarmSource"
_OBJECT_TREE: Final = {"required": ["op", "entries"], "additionalProperties": False}
# Whoever collects the values of lanes writes what they are.
_SELECTS: Final = {
    "if": {"properties": {"join": {"enum": [*COLLECTING]}}, "required": ["join"]},
    "then": {"required": ["select"]},
}
_INTEGER: Final = {"type": "integer", "maximum": LARGEST_INTEGER}


def json_schema(kinds: Iterable[str] = ()) -> dict[str, Json]:
    """Return the schema of whole documents, both dialects included.

    It accepts the documents whose shape the compiler accepts; `kinds` are those that an
    installation adds. The compiler alone checks names that must exist, texts inside
    texts such as paths and placeholders, and a number that another number bounds: a
    document that is valid by this schema may still have errors.
    """
    schema = Blueprint.model_json_schema(by_alias=True, ref_template=REF)
    defs = schema.setdefault("$defs", {})
    for dialect in DIALECTS:
        _add_words(defs, "Node", "kind", NODES, dialect)
        _add_words(defs, "Expr", "op", OPS, dialect)
    _add_sources(defs)
    schema["properties"]["flow"] = True
    for kind in KINDS.values():
        for model in filter(None, (kind.spec, *kind.other_specs)):
            part = model.model_json_schema(by_alias=True, ref_template=REF)
            defs.update(part.pop("$defs", {}))
            defs[model.__name__] = part
    layers = defs["SpawnerHints"]["properties"]["layers"]
    layers["items"] = {"enum": list(LAYERS)}
    schema["allOf"] = [
        *(_for_dialect(dialect) for dialect in DIALECTS),
        *(_for_kind(kind) for kind in KINDS.values()),
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
    """Add the schema of nodes or expressions, which differ by their tag.

    With `if` instead of `oneOf`, a validator follows one branch only and reports the
    errors of that branch.
    """
    name = _name(model, dialect)
    known = [word for word in words if word.dialect in ("flow.ir", dialect)]
    cases = []
    for word in known:
        one = f"{name}.{word.name}"
        defs[one] = _word(tag, word.in_source(dialect), dialect)
        cases.append({"if": _tagged(tag, word.name), "then": _ref(one)})
    defs[name] = {
        "type": "object",
        "properties": {tag: {"enum": [word.name for word in known]}},
        "required": [tag],
        "allOf": cases,
    }


def _add_sources(defs: dict[str, Json]) -> None:
    """Add the schema of what stands for an expression in the dialect `swarm`.

    A tree is one of the forms; another is an object of expressions, which may have some
    keys with `$` where it is the input of a step. Null stands for itself inside only.
    """
    names = {SOURCE: (), f"{SOURCE}.step": DOLLAR_KEYS}
    for name, dollar_keys in names.items():
        entries = _entries(dollar_keys)
        forms = {"lit": True, "template": {"type": "string"}, "object": entries}
        alone: list[Json] = [
            {
                "if": {"required": [form]},
                "then": {"properties": {form: schema}, "maxProperties": 1},
            }
            for form, schema in forms.items()
        ]
        tree = _ref(_name("Expr", "swarm"))
        if dollar_keys:
            own = {"properties": {"entries": entries, "op": True}}
            is_object = _tagged("op", "object")
            tree = {"if": is_object, "then": {**_OBJECT_TREE, **own}, "else": tree}
        is_form = {"anyOf": [{"required": [form]} for form in forms]}
        mapping = {"if": is_form, "then": {"allOf": alone}, "else": entries}
        defs[name] = {
            "type": ["string", "number", "boolean", "array", "object"],
            "items": _ref(f"{SOURCE}.inside"),
            "if": {"type": "object"},
            "then": {"if": {"required": ["op"]}, "then": tree, "else": mapping},
        }
    defs[f"{SOURCE}.inside"] = {"if": {"type": "null"}, "else": _ref(SOURCE)}


def _entries(dollar_keys: tuple[str, ...]) -> dict[str, Json]:
    return {
        "type": "object",
        "propertyNames": {"anyOf": [{"enum": [*dollar_keys]}, {"pattern": "^(?!\\$)"}]},
        "additionalProperties": _ref(f"{SOURCE}.inside"),
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
    joins = dialect == "swarm" and any(field.type == "join" for field in word.fields)
    return {
        **(_SELECTS if joins else {}),
        "title": word.name,
        "description": word.text,
        "type": "object",
        "properties": properties,
        "required": [tag, *required],
        "dependentSchemas": {f.name: given(f.needs) for f in word.fields if f.needs},
        "additionalProperties": False,
    }


def _field(field: Field, dialect: Dialect) -> Json:
    node, expr = _ref(_name("Node", dialect)), _ref(_name("Expr", dialect))
    path: Json = {"type": "string", "pattern": PATH}
    target, entries = expr, _entries(())
    if dialect == "swarm":
        target = {"if": {"type": "string"}, "then": path, "else": expr}
        expr = _ref(f"{SOURCE}.step" if field.dollar_keys else SOURCE)
    types: Mapping[FieldType, Json] = {
        "expression": expr,
        "path expression": target,
        "expressions": _expressions(field, expr),
        "object of expressions": entries,
        "node": node,
        "nodes": {"type": "array", "items": node},
        "path": path,
        "path below $": {"type": "string", "pattern": PATH_BELOW},
        "text": {"type": "string"},
        "name": {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_NAME,
            "pattern": NAME,
        },
        "JSON": True,
        "join": {"enum": [join.name for join in JOINS]},
        "integer": {**_INTEGER, "minimum": 0},
        "positive integer": {**_INTEGER, "minimum": 1},
        **{type_: {"enum": [*words]} for type_, words in CHOICES.items()},
    }
    schema = types[field.type]
    if field.nullable:
        return {"if": {"type": "null"}, "else": schema}
    return schema


def _expressions(field: Field, expr: Json) -> dict[str, Json]:
    schema = {"type": "array", "items": expr, "minItems": field.least}
    return schema if field.most is None else {**schema, "maxItems": field.most}


def _for_dialect(dialect: Dialect) -> dict[str, Json]:
    """Return the schema of flow and limits for documents of a dialect."""
    in_dialect: dict[str, Any] = {"properties": {"dialect": {"const": dialect}}}
    if dialect != "flow.ir":
        in_dialect["required"] = ["dialect"]
    key = SOURCE if dialect == "swarm" else _name("Expr", dialect)
    limit = _below("key", _ref(key))
    limits = {
        "if": {"type": "object"},
        "then": {"additionalProperties": _below("limit", limit)},
    }
    then = {
        "flow": _ref(_name("Node", dialect)),
        "hints": _below("per_agent", limits),
        "agents": {"items": _below("limit", limit)},
    }
    return {"if": in_dialect, "then": {"properties": then}}


def _for_kind(kind: AgentKind) -> dict[str, Json]:
    """Return the schema of agents of a kind, given or by the document's default."""
    words = [kind.name, *kind.aliases]
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


def _agent_shape(kind: AgentKind) -> Mapping[str, Json]:
    if kind.schema is not None or kind.spec is None:
        return kind.schema or {}
    spec = _ref(kind.spec.__name__)
    try:
        # An absent spec is read as an empty one.
        kind.spec.model_validate({})
    except ValidationError:
        return {"properties": {"spec": spec}, "required": ["spec"]}
    return {"properties": {"spec": {"anyOf": [spec, {"type": "null"}]}}}


def _known_kinds(words: list[str]) -> dict[str, Json]:
    """Return the schema of known kinds, unless unknown ones are dropped."""
    agents = _agents({"properties": {"kind": {"enum": [*words, "", None]}}})
    agents["properties"]["default_agent_kind"] = {"enum": [*words, None]}
    return {"if": _DROPS, "else": agents}


def _some_kind() -> dict[str, Json]:
    """Return the schema that requires a kind of each agent without a default."""
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
    """Return the schema of a value with a field `name` if it is an object."""
    return {"if": {"type": "object"}, "then": {"properties": {name: schema}}}
