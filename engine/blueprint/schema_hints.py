"""The policy of agents: queue, priority, timeout, retry and limit."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.blueprint.program import MOST_ATTEMPTS
from engine.blueprint.strict import Name, QueueName, Seconds, Strict
from engine.flow.json_text import Json


class RetryHints(Strict):
    """When an attempt is made again; `max_attempts` counts the first one too."""

    max_attempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)] = 1
    base_s: Seconds = 1.0
    cap_s: Seconds = 60.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    budget_s: Seconds | None = None
    never: Annotated[list[Name], Field(alias="not")] = []

    @model_validator(mode="after")
    def check_cap(self) -> "RetryHints":
        """Refuses a longest wait that is shorter than the first."""
        # A base above the default cap is only wrong if the author wrote that cap.
        if "cap_s" in self.model_fields_set and self.cap_s < self.base_s:
            raise ValueError("cap_s must not be less than base_s")
        return self


class LimitHints(Strict):
    """How many attempts with an equal value of `key` may be under way at once."""

    key: Json
    max: Annotated[int, Field(ge=1, le=100_000)]


class AgentHints(Strict):
    """The policy of one agent."""

    queue: QueueName | None = None
    priority: Literal["hi", "std", "lo"] = "std"
    timeout_s: Seconds | None = None
    retry: RetryHints = RetryHints()
    limit: LimitHints | None = None


class CompilerHints(Strict):
    """Hints by agent name; `global` is accepted as null only, nothing reads it."""

    per_agent: dict[str, AgentHints] = {}
    for_all: Annotated[None, Field(alias="global")] = None
