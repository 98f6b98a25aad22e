"""The names of steps, which views and errors show instead of their places.

The step `draft` in the body of a loop is at the place `/children/1/body[2]`, its name
there is `draft[2]`. The journal and the ids of steps have places only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from engine.flow.nodes import Fanout, Loop, Node, Step
from engine.run.chain.layout import Layout

ANY: Final = "[*]"
"""Stands in a place for the number of any iteration or lane."""
_VISIT: Final = re.compile(r"/(body|lane)\[(0|[1-9][0-9]*)\]")
_NAMED: Final = re.compile(r"([^\[\]]+)(?:\[([^\[\]]+)\])?")


class PlaceNames:
    """The named steps of one flow; `places` has the place of each, with ANY in it."""

    def __init__(self, flow: Node) -> None:
        """Find the named steps of a flow."""
        layout = Layout(flow)
        above: list[str] = []
        places: dict[str, str] = {}
        for number, node in enumerate(layout.nodes):
            parent = layout.parents[number]
            place = layout.edges[number] if parent < 0 else above[parent]
            if parent >= 0:
                place += layout.edges[number]
                if isinstance(layout.nodes[parent], Loop):
                    place += ANY
            if isinstance(node, Step) and node.name is not None:
                places[node.name] = place
            above.append(f"{place}/lane{ANY}" if isinstance(node, Fanout) else place)
        self.places: Mapping[str, str] = places
        self._names = {place: name for name, place in places.items()}

    def name(self, place: str) -> str:
        """Return the name of the step at a place, with its visit, or else the place.

        The visit has the iterations and lanes from the outer to the inner one: `draft`,
        `draft[2]`, `draft[lane 800]`, `draft[2, lane 800]`.
        """
        name = self._names.get(_VISIT.sub(rf"/\1{ANY}", place))
        if name is None:
            return place
        visits = [
            n if word == "body" else f"lane {n}" for word, n in _VISIT.findall(place)
        ]
        return f"{name}[{', '.join(visits)}]" if visits else name

    def find(self, text: str) -> str | None:
        """Return the place that a text of `name` stands for, None for any other text.

        A name without its visit gives a place with ANY in it.
        """
        found = _NAMED.fullmatch(text)
        place = self.places.get(found[1]) if found else None
        if found is None or place is None or found[2] is None:
            return place
        for visit in found[2].split(", "):
            place = place.replace(ANY, f"[{visit.removeprefix('lane ')}]", 1)
        return place if ANY not in place and self.name(place) == text else None
