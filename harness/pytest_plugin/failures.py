"""What a test raises. pytest shows these by their text alone: where our code stood then tells nobody anything.

They name no module, as pytest's own do not, since that is what a summary's line would begin with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.outcomes import Failed
else:
    Failed = pytest.fail.Exception


class _Plain(Failed):
    def __init__(self, text: str) -> None:
        super().__init__(text, pytrace=False)


class Gap(_Plain):
    """A gap in detection."""

    __module__ = "builtins"


class KnownGap(_Plain):
    """A gap that is known."""

    __module__ = "builtins"


class NotJudged(_Plain):
    """Nothing is known of the rule: the step did not run, the SIEM could not tell, or an input is wrong."""

    __module__ = "builtins"
