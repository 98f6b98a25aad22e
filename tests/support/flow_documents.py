"""Short ways to write a flow as a JSON document."""

from __future__ import annotations

from typing import Any


def at(path: str) -> Any:
    """Return a path expression."""
    return {"op": "path", "at": path}


def lit(value: Any) -> Any:
    """Return a literal expression."""
    return {"op": "lit", "value": value}


def let(path: str, value: Any) -> Any:
    """Return a node that writes the value of an expression."""
    return {"kind": "let", "at": path, "value": value}


def delete(path: str) -> Any:
    """Return a node that removes what is at a path (dialect swarm)."""
    return {"kind": "delete", "at": path}


def step(ref: str, value: Any, out: str) -> Any:
    """Return a step that hands the value of an expression to an agent."""
    return {"kind": "step", "ref": ref, "in": value, "out": at(out)}


def echo_step(ref: str, path: str) -> Any:
    """Return a step that replaces a value by its agent's answer."""
    return step(ref, at(path), path)


def seq(*children: Any) -> Any:
    """Return a sequence."""
    return {"kind": "seq", "children": list(children)}


def fanout(
    items: Any,
    body: Any,
    join: str = "all",
    out: str = "$.out",
    *,
    bind: str = "$.item",
    **more: Any,
) -> Any:
    """Return a fanout."""
    return {
        "kind": "fanout", "items": items, "bind": at(bind), "body": body,
        "join": join, "out": at(out), **more,
    }  # fmt: skip
