"""The error of a call that fails."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.flow import FlowError


def flow_error(call: Callable[..., Any], *args: Any) -> FlowError:
    """Return the error of the language that a call raises."""
    with pytest.raises(FlowError) as caught:
        call(*args)
    return caught.value
