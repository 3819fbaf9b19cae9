"""Who to be on a target, and how long the parts of a session may take. Values alone: nothing here connects anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Who to be on a target. The secrets are in no text that this class or its errors make.

    No `password`: the ticket in the user's credential cache does, or the certificate. `key_password` opens the certificate's key.
    """

    user: str
    password: str = field(default="", repr=False)
    key_password: str = field(default="", repr=False)

    def scrub(self, text: str) -> str:
        """The text without the secrets."""
        for secret in (self.password, self.key_password):
            text = text.replace(secret, "***") if secret else text
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that the parts of a session may take which no step's own time-out bounds.

    `connect`: one TCP connection and its TLS. `open`: until the shell is open. `identify`: asking for the session's identity. `stop`:
    stopping what did not end. `close`: ending the session.
    """

    connect: float = 10.0
    open: float = 30.0
    identify: float = 15.0
    stop: float = 2.0
    close: float = 3.0
