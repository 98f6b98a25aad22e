"""The policy of an agent: when and where its attempts run, and when they are repeated.

An agent has it in its own fields. Documents of the reference have it under
`hints.per_agent`, with units in the names of fields.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from engine.blueprint.program import MOST_ATTEMPTS
from engine.blueprint.schema.strict import A_YEAR_S, Name, QueueName, Seconds, Strict
from engine.flow.json_text import Json

_UNITS: Final[Mapping[str, int]] = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
# At least one digit other than 0, then each unit at most once, the largest first.
DURATION: Final = (
    r"^(?=.*[1-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?"
    r"([0-9]{1,9}(\.[0-9]{1,9})?s)?$"
)
_DURATION: Final = re.compile(DURATION)
_AMOUNT: Final = re.compile(r"([0-9.]+)([dhms])")


def read_duration(value: Any) -> Any:
    """Return the seconds of a text such as `1h30m`, and any other value as it is.

    Raises ValueError for a text that is no duration.
    """
    if not isinstance(value, str):
        return value
    if not _DURATION.fullmatch(value):
        raise ValueError(
            f"expected a duration such as '30s', '5m' or '1h30m', or a number of"
            f" seconds, got {value!r:.80}"
        )
    return sum(float(number) * _UNITS[unit] for number, unit in _AMOUNT.findall(value))


Duration = Annotated[
    Seconds,
    BeforeValidator(read_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": A_YEAR_S},
                {"type": "string", "pattern": DURATION},
            ]
        }
    ),
]
Attempts: TypeAlias = Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)]
Jitter: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Never: TypeAlias = Annotated[list[Name], Field(alias="not")]
Priority: TypeAlias = Literal["hi", "std", "lo"]
_MAX_ATTEMPTS: Final = "write retry: {max_attempts: N}; N counts the first attempt too"
_NEAR_RETRY: Final = dict.fromkeys(
    ("max_retries", "retries", "attempts", "times"), _MAX_ATTEMPTS
)


class LimitHints(Strict):
    """How many attempts with an equal value of `key` may run at once."""

    key: Json
    max: Annotated[int, Field(ge=1, le=100_000)]


class _Retry(Strict):
    """What both forms of a retry share; UNIT ends the names of times."""

    NEAR: ClassVar[Mapping[str, str]] = _NEAR_RETRY
    UNIT: ClassVar[str] = ""

    max_attempts: Attempts = 1

    @model_validator(mode="after")
    def check_cap(self) -> Self:
        """Refuse a longest wait that is shorter than the first."""
        cap, base = f"cap{self.UNIT}", f"base{self.UNIT}"
        # A base above the default cap is only wrong if the author wrote that cap.
        if cap in self.model_fields_set and getattr(self, cap) < getattr(self, base):
            raise ValueError(f"{cap} must not be less than {base}")
        return self


class RetryPolicy(_Retry):
    """When an attempt is retried; `max_attempts` counts the first one too."""

    base: Duration = 1.0
    cap: Duration = 60.0
    jitter: Jitter = 0.2
    budget: Duration | None = None
    never: Never = []


class AgentPolicy(Strict):
    """The policy of one agent; null stands for an absent field."""

    NEAR: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("max_attempts", "max_retries", "retries", "attempts"), _MAX_ATTEMPTS
        ),
        **dict.fromkeys(("timeout_s", "timeout_secs"), "write timeout: 30s"),
    }

    timeout: Duration | None = None
    retry: RetryPolicy | None = None
    queue: QueueName | None = None
    priority: Priority | None = None
    limit: LimitHints | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields of the policy that are not null."""
        values = {name: getattr(self, name) for name in AgentPolicy.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class RetryHints(_Retry):
    """A `retry` of hints, whose times are numbers of seconds."""

    UNIT: ClassVar[str] = "_s"

    base_s: Seconds = 1.0
    cap_s: Seconds = 60.0
    jitter: Jitter = 0.2
    budget_s: Seconds | None = None
    never: Never = []


class AgentHints(Strict):
    """The policy of one agent under `hints.per_agent`."""

    queue: QueueName | None = None
    priority: Priority = "std"
    timeout_s: Seconds | None = None
    retry: RetryHints = RetryHints()
    limit: LimitHints | None = None

    def policy(self) -> AgentPolicy:
        """Return the given hints in the words of an agent's own fields."""
        given = self.model_dump(by_alias=True, exclude_unset=True)
        if "retry" in given:
            given["retry"] = {_word(key): v for key, v in given["retry"].items()}
        return AgentPolicy.model_validate({_word(key): v for key, v in given.items()})


def _word(field: str) -> str:
    """Return a field's name without its unit."""
    return field.removesuffix("_s")
