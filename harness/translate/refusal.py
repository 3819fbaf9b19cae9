"""What a language cannot say."""

from __future__ import annotations


class NotExpressible(Exception):
    """A rule, or a part of it, cannot be said in the language asked for. The text says which part, and why."""
