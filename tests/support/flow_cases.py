"""Runs cases of the language: the stubs of README.md, and what an answer must equal."""

import copy
import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from engine.flow import (
    Dialect,
    FlowError,
    JsonTextError,
    evaluate,
    evaluate_expr,
    load_json,
    parse_expr,
    parse_node,
    parse_path,
)
from engine.flow.errors import (
    arith_error,
    dispatcher_error,
    extern_error,
    invalid_path,
    non_bool_cond,
    parse_error,
    path_not_found,
    type_error,
)
from engine.flow.values import json_equal

Json = Any
MAKERS: dict[str, Callable[[str, str], FlowError]] = {
    "TypeError": type_error,
    "ArithError": arith_error,
    "DispatcherError": dispatcher_error,
    "ExternError": extern_error,
    "PathNotFound": lambda op, msg: path_not_found(msg),
    "InvalidPath": lambda op, msg: invalid_path(msg),
    "NonBoolCond": lambda op, msg: non_bool_cond(msg),
    "ParseError": parse_error,
}
LARGEST_SUM = 2**63 - 1


class Host:
    """The dispatch stub of one case; notes the calls."""

    def __init__(self, specs: dict[str, Json]) -> None:
        self.specs = specs
        self.calls: list[Json] = []
        self.counts: Counter[str] = Counter()

    def __call__(self, ref: str, value: Json) -> Json:
        self.calls.append([ref, json.loads(json.dumps(value))])
        turn = self.counts[ref]
        self.counts[ref] += 1
        if ref not in self.specs:
            raise dispatcher_error(ref, "unknown ref")
        spec = self.specs[ref]
        if "script" in spec:
            spec = spec["script"][min(turn, len(spec["script"]) - 1)]
        return self.answer(ref, value, spec, turn)

    def answer(self, ref: str, value: Json, spec: Json, turn: int) -> Json:
        """Does what one spec of the stub says."""
        match spec:
            case {"const": answer}:
                return answer
            case {"echo": True}:
                return value
            case {"upper": True}:
                return value.upper() if isinstance(value, str) else value
            case {"add": number}:
                return add(ref, value, number)
            case {"fail_on": bad, "msg": text}:
                if any(json_equal(value, item) for item in bad):
                    raise dispatcher_error(ref, text)
                return value
            case {"seq": answers}:
                if turn >= len(answers):
                    raise dispatcher_error(ref, "sequence exhausted")
                return answers[turn]
        raise raised(ref, spec, dispatcher_error)


def add(ref: str, value: Json, number: Json) -> Json:
    """Adds as the stub `add` does."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise dispatcher_error(ref, "expected number")
    total = value + number
    if isinstance(total, int) and -LARGEST_SUM - 1 <= total <= LARGEST_SUM:
        return total
    return float(value) + float(number)


def raised(ref: str, spec: Json, own: Callable[[str, str], FlowError]) -> FlowError:
    """Makes the error of the specs `fail`, the host's own kind, and `raise`."""
    if "fail" in spec:
        return own(ref, spec["fail"])
    error = spec["raise"]
    return MAKERS[error["kind"]](error.get("op", ""), error.get("msg", ""))


def extern(ref: str, spec: Json) -> Callable[[list[Json]], Json]:
    """Makes the extern function of a stub."""

    def call(values: list[Json]) -> Json:
        match spec:
            case {"const": answer}:
                return answer
            case {"arg": n}:
                if n >= len(values):
                    raise extern_error(ref, "missing arg")
                return values[n]
            case {"list": True}:
                return values
            case {"count": True}:
                return len(values)
        raise raised(ref, spec, extern_error)

    return call


def externs_of(case_input: Json) -> Json:
    """Makes the registry of externs of a case, None where it has none."""
    if "externs" not in case_input:
        return None
    return {ref: extern(ref, spec) for ref, spec in case_input["externs"].items()}


def run_path(given: Json, dialect: Dialect) -> Json:
    """Runs a case of kind `path`."""
    path = parse_path(given["path"], dialect)
    if "write" in given:
        return path.write(given["ctx"], given["write"])
    return str(path) if given.get("display") else path.read(given["ctx"])


def run_parse(given: Json, dialect: Dialect) -> Json:
    """Runs a case of kind `parse`; all that is refused is a ParseError."""
    value = given.get("json")
    if "text" in given:
        try:
            value = load_json(given["text"], literals_may_repeat=True)
        except JsonTextError as error:
            raise FlowError("ParseError", str(error)) from error
    if given["as"] == "path":
        try:
            return str(parse_path(value, dialect))
        except FlowError as error:
            raise FlowError("ParseError", str(error)) from error
    parse = parse_node if given["as"] == "node" else parse_expr
    return parse(value, dialect).to_json()


def run(case: Json, host: Host, dialect: Dialect = "flow.ir") -> Json:
    """Runs one case and returns its value or raises its FlowError."""
    given = case["input"]
    if case["kind"] == "path":
        return run_path(given, dialect)
    if case["kind"] == "parse":
        return run_parse(given["parse"], dialect)
    externs = externs_of(given)
    if case["kind"] == "expr":
        return evaluate_expr(parse_expr(given["expr"], dialect), given["ctx"], externs)
    return evaluate(parse_node(given["node"], dialect), given["ctx"], host, externs)


def same(a: Json, b: Json) -> bool:
    """Return whether two values are the same, types and the sign of zero included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b)


def check(case: Json, dialect: Dialect = "flow.ir") -> None:
    """Asserts that a case has the answer it expects and that its input is as before.

    `says` of an error lists what its text holds, where the wording is free.
    """
    host = Host(case["input"].get("dispatch", {}))
    before = json.dumps(case["input"])
    expect = copy.deepcopy(case["expect"])
    says = expect.get("err", {}).pop("says", [])
    text = ""
    try:
        got = {"ok": run(case, host, dialect)}
    except FlowError as error:
        text = str(error)
        got = {"err": {"kind": error.kind, "msg": text}}
        if "msg" not in expect.get("err", {}):
            del got["err"]["msg"]
    if case["kind"] == "node":
        got["calls"] = host.calls
    assert same(got, expect), f"got {got}\nexpected {expect}"
    assert [part for part in says if part not in text] == [], text
    assert json.dumps(case["input"]) == before
