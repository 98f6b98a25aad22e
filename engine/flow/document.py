"""The document of one run: a JSON value that is written many times.

A write copies the containers along its path once and then changes those copies, which it
owns, in place: n writes cost n, not n documents. Handing a copy out disowns it.
"""

from engine.flow.expr import GATHERING, Expr, Extern, Externs
from engine.flow.json_text import Json
from engine.flow.path import Path, disown


class Document:
    """A JSON value with cheap writes that no holder of an earlier value can see."""

    __slots__ = ("_owned", "_value", "depth")

    def __init__(self, value: Json, depth: int = 0) -> None:
        self._value = value
        # No more containers are inside each other; kept by whoever knows what is written.
        self.depth = depth
        # The containers stand beside their ids: an id stays taken as long as it is here.
        self._owned: dict[int, Json] = {}

    @property
    def value(self) -> Json:
        """The current value, lent until the next write; `snapshot` gives one to keep."""
        return self._value

    def read(self, path: Path) -> Json:
        """Returns the value at a path, to keep; raises PathNotFound."""
        value = path.read(self._value)
        if id(value) in self._owned:
            self._hand_out(value)
        return value

    def evaluate(self, expr: Expr, externs: Externs | None = None) -> Json:
        """Evaluates an expression on the current value, to keep; raises FlowError."""
        if externs is not None:
            externs = _EscapeRoute(externs, self._owned)
        value = expr.evaluate(self._value, externs)
        # Owned containers hang together from the root: a result of the document that is
        # not owned itself holds none. One that was put together may hold any.
        if id(value) in self._owned:
            self._hand_out(value)
        elif type(value) is list and type(expr) in GATHERING:
            self._owned.clear()
        return value

    def write(self, path: Path, value: Json) -> None:
        """Writes a value at a path; raises TypeError of 'path.write', unchanged then."""
        owned = self._owned
        if id(value) in owned:
            self._hand_out(value)
        if not path.keys:
            self._value = value
            owned.clear()
            return
        self._value = path.write_owned(self._value, value, owned)

    def snapshot(self) -> Json:
        """Returns the current value, to keep."""
        self._owned.clear()
        return self._value

    def restore(self, value: Json) -> None:
        """Makes `value`, which stays its holder's, the current value."""
        self._owned.clear()
        self._value = value

    def _hand_out(self, value: Json) -> None:
        if value is self._value:
            self._owned.clear()
        else:
            disown(value, self._owned)


class _EscapeRoute:
    """A registry of externs that disowns everything when one of them is fetched.

    An extern sees its arguments and may keep them, which no result would show.
    """

    __slots__ = ("_externs", "_owned")

    def __init__(self, externs: Externs, owned: dict[int, Json]) -> None:
        self._externs = externs
        self._owned = owned

    def __contains__(self, ref: object, /) -> bool:
        return ref in self._externs

    def __getitem__(self, ref: str, /) -> Extern:
        self._owned.clear()
        return self._externs[ref]
