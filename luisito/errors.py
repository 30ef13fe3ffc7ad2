"""The errors that Luisito raises; each message names what was wrong, its value and the mend."""

from __future__ import annotations


class LuisitoError(Exception):
    """The base of all errors that are meant to be read by a person."""


class SettingsError(LuisitoError):
    """A setting has a wrong value: the message names the setting, the value and the mend."""


class EndpointError(SettingsError):
    """An endpoint cannot be listened on.

    Attributes:
        why: the reason alone.
    """

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class SiteFileError(LuisitoError):
    """A site file cannot be used: one line that names file, line, key, value and the mend."""


class TemplateError(LuisitoError):
    """A command template cannot be parsed or rendered."""


class BadHost(LuisitoError):
    """A Host header, or an authority in a target, is not a valid host (RFC 9110 section 7.2)."""


class BadMessage(LuisitoError):
    """An HTTP message that must not be passed on.

    Attributes:
        status: the status to answer with (from a client), or 502 (from an app server).
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class WireError(LuisitoError):
    """A message between the network process and the spawner cannot be understood."""


class SpawnerLost(LuisitoError):
    """The spawner has gone; nothing can be started or stopped any more."""


class NotFoundOut(LuisitoError):
    """What was asked for could not be found out; the message says why."""


class ImportFailed(LuisitoError):
    """Something that `luisito import` was to read cannot be read: one line, with the mend."""
