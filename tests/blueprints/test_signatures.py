"""What functions take and give by their signatures, and the inputs of steps that do not fit."""

import datetime
import enum
import ipaddress
import re
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Json,
    PlainValidator,
    RootModel,
    SecretStr,
    SkipValidation,
    Strict,
    WrapValidator,
    model_validator,
)
from pydantic.dataclasses import dataclass as checked_dataclass
from typing_extensions import TypedDict

from engine.agent_inputs import InputRefused, input_check, signature_of
from engine.agents import AgentFunction, AgentResult
from engine.blueprint import LintOptions, lint_blueprint
from engine.blueprint.analysis.shapes import TYPES


@dataclass
class Order:
    id: str


def draft(topic: str, words: int = 200, *, step: Any = None) -> None: ...
def many(a: str | None, b: list[int], c: Order, d: bool, e: datetime.date) -> None: ...
def loose(a, b: Any, c: Literal["x"], d: "Unknown") -> None: ...  # type: ignore[no-untyped-def,name-defined]  # noqa: F821
def letters(text: str) -> None: ...
def order(value: Order, *, step: Any) -> None: ...
def whole(value: Any) -> None: ...


class Count(BaseModel):
    n: int

    @model_validator(mode="before")
    @classmethod
    def of_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"n": value}


class Wrapped(BaseModel):
    n: int

    @model_validator(mode="wrap")
    @classmethod
    def of_number(cls, value: Any, handler: Any) -> Any:
        return handler(value if isinstance(value, dict) else {"n": value})


@checked_dataclass
class CheckedOrder:
    n: int

    @model_validator(mode="before")
    @classmethod
    def of_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"n": value}


class Tree(BaseModel):
    below: "Tree | Count | None" = None


class Level(enum.IntEnum):
    LOW = 1


class Mixed(enum.Enum):
    ONE = 1
    TEXT = "a"


class Point(NamedTuple):
    x: int
    y: int = 0


class Keyed(TypedDict):
    n: int


def split(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def through(value: Any, handler: Any) -> Any:
    return handler(split(value))


Splits = Annotated[list[str], BeforeValidator(split)]
ANNOTATIONS = (
    Splits, Splits | None, list[Splits], Annotated[list[str], WrapValidator(through)],
    Annotated[list[str], PlainValidator(split)], Annotated[list[str], AfterValidator(len)],
    Count, Count | None, list[Count], dict[str, Count], Wrapped, CheckedOrder, Order, Tree,
    complex, complex | None, int, float, bool, str, bytes, None, Decimal, Fraction,
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, uuid.UUID, Path,
    Level, Mixed, Literal["a", 1], Literal["a"], list[int], set[int], frozenset[int],
    tuple[int, ...], tuple[int, int], deque[int], Point, Keyed, dict[str, int],
    Counter[str], OrderedDict[str, int], Mapping[str, int], Sequence[int], Iterable[int],
    RootModel[int], RootModel[list[int]], Json[int], Json, AnyUrl, ByteSize, SecretStr,
    SkipValidation[int], Annotated[int, Strict(False)], ipaddress.IPv4Address, re.Pattern,
    object, list, dict,
)  # fmt: skip
VALUES = (
    None, True, 0, 1, 1.5, "a", "1", "a,b", "1,2", "2026-01-02", "2026-01-02T03:04:05Z",
    "03:04:05", "P1D", "1/2", "1kb", "http://a.b/", "1.2.3.4", "1+2j", "[1]", "true",
    "00000000-0000-4000-8000-000000000000", [], [1], [1, 2], ["a"], ["a,b"],
    {}, {"n": 1}, {"id": "a"}, {"x": 1}, {"a": 1}, {"a": {"n": 1}}, {"below": 1},
)  # fmt: skip


def type_of(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string"}
    names |= {list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=range(len(ANNOTATIONS)))
def test_a_value_that_the_function_accepts_has_a_type_of_its_form(
    annotation: Any,
) -> None:
    def taken(text: Any) -> None: ...

    taken.__annotations__["text"] = annotation
    agent = AgentFunction(taken, __name__, "here")
    check, types = input_check(agent), signature_of(agent).types
    assert check is not None
    for value in VALUES:
        try:
            check(value)
        except InputRefused:
            continue
        assert type_of(value) in types, value


def models(a: Tree, b: list[Splits], c: Keyed, d: Point, e: RootModel[int]) -> None: ...
def splits(text: Splits) -> None: ...
def count(a: Count, b: complex, c: "list[int] | Count") -> None: ...


def form_of(function: Any) -> Any:
    return signature_of(AgentFunction(function, __name__, "here"))


def test_annotations_are_types_of_json() -> None:
    types = {key: set(one.types) for key, one in form_of(many).keys.items()}
    assert types == {
        "a": {"string", "null"},
        "b": {"array"},
        "c": {"object"},
        "d": {"boolean"},
        "e": {"string"},
    }
    types = {key: set(one.types) for key, one in form_of(models).keys.items()}
    assert (types["a"], types["b"], types["c"]) == ({"object"}, {"array"}, {"object"})
    assert types["e"] == {"number"}
    loosely = form_of(loose).keys
    assert len({one.types for key, one in loosely.items() if key != "c"}) == 1
    assert [one.required for one in form_of(draft).keys.values()] == [True, False]
    assert (set(form_of(letters).types), dict(form_of(letters).keys)) == (
        {"string"},
        {},
    )


def told(function: Any, value: Any, given: Any = None) -> list[str]:
    document = {
        "id": "fit",
        "dialect": "swarm",
        "default_init_ctx": {
            "topic": "tea",
            "n": 1,
            "later": None,
            "o": {"topic": "t"},
        },
        "flow": {
            "kind": "seq",
            "children": [
                {"kind": "let", "at": "$.made", "value": {"topic": "'t'", "size": 3}},
                {"kind": "step", "agent": "f", "in": value, "out": "$.text"},
            ],
        },
        "agents": [{"name": "f", "kind": "python_fn", "spec": {"fn": "agents:f"}}],
    }
    options = LintOptions(signatures={"f": form_of(function)})
    return [
        f"{one.place.removeprefix('$.flow.children[1].')}: {one.message}; {one.help}"
        for one in lint_blueprint(document, options=options).diagnostics
        if one.kind == "agent-input-mismatch"
    ]


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (draft, {"words": 3}, "in: the function of 'f' needs the key 'topic', which is"
         " missing; it has the parameters topic, words"),
        (draft, {"topic": "$.topic", "wrods": 3}, "in.wrods: the function of 'f' has no"
         " parameter 'wrods'; did you mean 'words'?"),
        (draft, {"topik": "$.topic"}, "in.topik: the function of 'f' has no parameter"
         " 'topik'; did you mean 'topic'?"),
        (draft, {"topic": 5}, "in.topic: the function of 'f' takes a string as 'topic',"
         " and gets a number; "),
        (draft, {"topic": "$.n"}, "in.topic: the function of 'f' takes a string as"
         " 'topic', and gets a number; "),
        (draft, {"topic": "$.topic", "words": "'many'"}, "in.words: the function of 'f'"
         " takes a number as 'words', and gets a string; "),
        (draft, "$.topic", "in: the function of 'f' takes an object, and gets a string;"
         " its keys: topic, words"),
        (draft, "$.made", "in: the function of 'f' has no parameter 'size'; known: topic,"
         " words"),
        (letters, {"text": "$.topic"}, "in: the function of 'f' takes a string, and gets"
         " an object; its only parameter gets the whole input, not the keys of it"),
        (order, "upper($.topic)", "in: the function of 'f' takes an object, and gets a"
         " string; "),
    ],
)  # fmt: skip
def test_an_input_that_can_not_fit_is_told(
    function: Any, value: Any, expected: str
) -> None:
    assert told(function, value) == [expected]


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (draft, {"topic": "$.topic"}),
        (draft, {"topic": "$.topic", "words": "$.n + 1"}),
        (draft, {"topic": "$.later", "words": "$.later.size"}),
        (draft, "$.later"),
        (draft, "$.o"),
        (draft, "$"),
        (draft, {"topic": "default($.maybe, 'x')"}),
        (
            many,
            {"a": {"lit": None}, "b": [], "c": {"id": "'x'"}, "d": True, "e": "'x'"},
        ),
        (loose, {"a": 1, "b": 2, "c": "'x'", "d": 4}),
        (letters, "$.topic"),
        (letters, "$.later"),
        (whole, {"text": 1}),
        (order, {"other": 1}),
        (splits, "$.topic"),
        (count, {"a": 5, "b": 1, "c": "'x'"}),
    ],
)
def test_an_input_that_may_fit_is_not_told(function: Any, value: Any) -> None:
    assert told(function, value) == []


def answered(function: Any) -> Any:
    form = form_of(function)
    return set(form.gives), form.has_parts


def with_result(annotation: Any) -> Any:
    def given(value): ...  # type: ignore[no-untyped-def]

    given.__annotations__["return"] = annotation
    return given


@pytest.mark.parametrize(
    ("annotation", "types"),
    [
        (str, {"string"}),
        ("str", {"string"}),
        (bool, {"boolean"}),
        (int, {"number"}),
        (None, {"null"}),
        (str | None, {"string", "null"}),
        (Literal["PASS", "FAIL"], {"string"}),
        (Literal["PASS"] | None, {"string", "null"}),
        (list[str], {"array"}),
        (dict[str, Any], {"object"}),
    ],
)
def test_the_annotation_of_a_result_is_what_a_function_gives(
    annotation: Any, types: set[str]
) -> None:
    assert answered(with_result(annotation)) == (types, False)


@pytest.mark.parametrize(
    "annotation",
    [Any, object, Literal[Mixed.TEXT], Literal["a", True], AgentResult, str | AgentResult, Order, "Unknown",
     Iterable[int], Coroutine[Any, Any, str], Splits],
)  # fmt: skip
def test_a_result_may_be_anything_where_its_annotation_does_not_tell(
    annotation: Any,
) -> None:
    assert answered(with_result(annotation)) == (set(TYPES), False)


async def later(value: Any, *, step: Any) -> str: ...


def test_a_function_that_gets_the_step_may_give_parts() -> None:
    assert answered(later) == ({"string"}, True)
    assert answered(len) == (set(TYPES), False)
    assert answered(max)[0] == set(TYPES)
