"""Kind operator: the session that takes a logical seat does the work."""

from typing import Any, Final

from engine.blueprint.kinds.rules import AgentKind, BoundAgent, Lack
from engine.blueprint.schema.strict import Name, Strict


class OperatorSpec(Strict):
    """`spec` of kind operator: the name of a seat among `operators`."""

    operator_ref: Name


class Operator(AgentKind):
    """A person or an outer AI; no worker waits for the answer."""

    name = "operator"
    backends = ("ws_operator", "ws_claude_code")
    spec = OperatorSpec
    answers = True
    holds_worker = False
    needs_timeout = True
    needs_runner = True
    is_markdown_default = True
    lacks = (
        Lack(
            ("agents[]", "runners[]"),
            "no worker serves its kind, so a run is refused",
            "use another kind, or keep the Blueprint for later",
        ),
    )

    def seat(self, bound: BoundAgent) -> str | None:
        """Return the seat that the agent needs."""
        seat = bound.spec.get("operator_ref")
        return seat if isinstance(seat, str) else None

    def describe(self, spec: Any) -> str:
        """Return the name of the seat."""
        return f"seat {spec.get('operator_ref')}"


KIND: Final = Operator()
