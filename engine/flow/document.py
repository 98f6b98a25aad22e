"""The document of one run: a JSON value that is written many times.

A write copies the containers along its path once. The document owns those copies, and
later writes change them in place: n writes cost n, not n documents. A copy that is
returned to a caller is no longer owned.
"""

from engine.flow.allowance import Allowance, Extern, Externs
from engine.flow.errors import FlowError
from engine.flow.expr import GATHERING, Expr, PathExpr
from engine.flow.json_text import Json
from engine.flow.path import Path, disown


class Document:
    """A JSON value with cheap writes that do not change values returned earlier."""

    __slots__ = ("_allowance", "_owned", "_value", "depth")

    def __init__(self, value: Json, depth: int = 0) -> None:
        self._value = value
        # An upper bound of the nesting, maintained by the code that writes.
        self.depth = depth
        # The values keep the containers alive, so that their ids are not used again.
        self._owned: dict[int, Json] = {}
        self._allowance: Allowance | None = None

    @property
    def value(self) -> Json:
        """The current value, valid until the next write; `snapshot` returns one to keep."""
        return self._value

    def read(self, path: Path) -> Json:
        """Return the value at a path; later writes do not change it. Raises PathNotFound."""
        value = path.read(self._value)
        if id(value) in self._owned:
            self._disown(value)
        return value

    def evaluate(self, expr: Expr, externs: Externs | None = None) -> Json:
        """Return the value of an expression; later writes do not change it.

        Raises FlowError.
        """
        if type(expr) is PathExpr:
            # The most frequent one spends nothing.
            return self.read(expr.at)
        value = expr.evaluate(self._value, self._full_allowance(externs))
        kind = type(value)
        # Every parent of an owned container is owned: a part of the document that is not
        # owned contains none. A container that the expression has made may contain any.
        if id(value) in self._owned:
            self._disown(value)
        elif (kind is list or kind is dict) and type(expr) in GATHERING:
            self._owned.clear()
        return value

    def _full_allowance(self, externs: Externs | None) -> Allowance:
        if externs is not None:
            return Allowance(_DisowningExterns(externs, self._owned))
        if self._allowance is None:
            self._allowance = Allowance()
        elif self._allowance.is_used:
            self._allowance.refill()
        return self._allowance

    def write(self, path: Path, value: Json) -> None:
        """Write a value at a path.

        Raises TypeError of 'path.write' and leaves the document as it was.
        """
        owned = self._owned
        if id(value) in owned:
            self._disown(value)
        if not path.keys:
            self._value = value
            owned.clear()
            return
        self._value = path.write_owned(self._value, value, owned)

    def delete(self, path: Path) -> bool:
        """Remove the value at a path below the root; return whether there was one.

        The elements of an array behind a removed one move up.
        """
        try:
            path.read(self._value)
        except FlowError:
            return False
        self._value = path.delete_owned(self._value, self._owned)
        return True

    def snapshot(self) -> Json:
        """Return the current value; later writes do not change it."""
        self._owned.clear()
        return self._value

    def restore(self, value: Json) -> None:
        """Make `value` the current value, without owning it."""
        self._owned.clear()
        self._value = value

    def _disown(self, value: Json) -> None:
        if value is self._value:
            self._owned.clear()
        else:
            disown(value, self._owned)


class _DisowningExterns:
    """A registry of externs that disowns every container when an extern is fetched.

    An extern may keep its arguments, and its result does not show that.
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
