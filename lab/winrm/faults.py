"""The faults of WS-Management with the codes that Windows gives them [MS-WSMV 2.2.4.43, wsmerror.h]. Pure: values, no envelopes."""

from __future__ import annotations


class Fault(Exception):
    """A SOAP fault. `code` is the WSManFault's Code [MS-WSMV 2.2.4.43, wsmerror.h], `subcode` the qualified SOAP subcode."""

    def __init__(self, code: int, subcode: str, text: str, *, by_sender: bool = True) -> None:
        self.code = code
        self.subcode = subcode
        self.text = text
        self.by_sender = by_sender
        super().__init__(f"{code} {subcode}: {text}")


def timed_out() -> Fault:
    """ERROR_WSMAN_OPERATION_TIMEDOUT: a long poll ended with nothing to say."""
    return Fault(2150858793, "w:TimedOut", "The operation did not complete within the time given in OperationTimeout.", by_sender=False)


def shell_not_found(shell_id: str) -> Fault:
    """ERROR_WSMAN_UNEXPECTED_SELECTORS, as Windows answers for a ShellId that it does not know."""
    return Fault(2150858843, "w:InvalidSelectors", f"There is no shell with the ShellId {shell_id} on this server.")


def command_not_found(command_id: str) -> Fault:
    """ERROR_WSMAN_UNEXPECTED_SELECTORS again: Windows has no code of its own for an unknown CommandId."""
    return Fault(2150858843, "w:InvalidSelectors", f"There is no command with the CommandId {command_id} in this shell.")


def already_exists(shell_id: str) -> Fault:
    """ERROR_WSMAN_TARGET_ALREADY_EXISTS: the proposed ShellId is in use."""
    return Fault(2150858851, "w:AlreadyExists", f"There already is a shell with the ShellId {shell_id}.")


def aborted() -> Fault:
    """ERROR_OPERATION_ABORTED: what a Receive waited for was terminated."""
    return Fault(995, "w:InternalError", "The operation was ended because its shell or command was closed.", by_sender=False)


def too_many_shells(most: int) -> Fault:
    """ERROR_WSMAN_QUOTA_MAX_SHELLS: the user has as many shells as a user may have."""
    return Fault(2150859173, "w:QuotaLimit", f"This user may have {most} concurrent shells, and has them.")


def too_many_operations() -> Fault:
    """ERROR_WSMAN_QUOTA_MAX_OPERATIONS: the shell runs as many commands as it may."""
    return Fault(2150859174, "w:QuotaLimit", "The maximum number of concurrent operations of this shell has been exceeded.")


def too_many_users(most: int) -> Fault:
    """ERROR_WSMAN_QUOTA_MAX_SHELLUSERS: as many users as may have shells have some."""
    return Fault(2150859179, "w:QuotaLimit", f"{most} users may have shells at the same time, and have them.")


def out_of_resources() -> Fault:
    """ERROR_WSMAN_QUOTA_SYSTEM: the machine has no room for another process."""
    return Fault(2150859176, "w:QuotaLimit", "The system has not the resources for another shell.")


def command_in_use(command_id: str) -> Fault:
    """ERROR_WINRS_SHELLCOMMAND_CLIENTID_RESOURCE_CONFLICT: the proposed CommandId is in use."""
    return Fault(2150859222, "w:AlreadyExists", f"There already is a command {command_id}.")


def code_page_not_supported(code_page: int) -> Fault:
    """ERROR_WINRS_CODE_PAGE_NOT_SUPPORTED."""
    return Fault(2150859072, "w:InvalidOptions", f"There is no code page {code_page}.")


def disconnected() -> Fault:
    """ERROR_WINRS_SHELL_DISCONNECTED: nothing can be asked of a shell that its client has left."""
    return Fault(2150859204, "w:InternalError", "The shell is disconnected: reconnect it, or connect to it, first.")


def stream_disconnected() -> Fault:
    """ERROR_WSMAN_SERVICE_STREAM_DISCONNECTED: a Receive that waited while the shell was disconnected."""
    return Fault(2150859230, "w:InternalError", "The stream is currently disconnected.", by_sender=False)


def disconnect_not_supported() -> Fault:
    """ERROR_WINRS_SHELL_DISCONNECT_NOT_SUPPORTED: a command shell cannot be left."""
    return Fault(2150859205, "w:UnsupportedFeature", "This shell cannot be disconnected.")


def session_mismatch() -> Fault:
    """ERROR_WINRS_SHELL_CLIENTSESSIONID_MISMATCH."""
    return Fault(2150859206, "w:InvalidParameter", "The SessionId is not that of the client that has the shell.")


def connected_elsewhere() -> Fault:
    """ERROR_WINRS_SHELL_CONNECTED_TO_DIFFERENT_CLIENT."""
    return Fault(2150859213, "w:InternalError", "The shell is connected to another client.")


def not_connected() -> Fault:
    """ERROR_WINRS_SHELL_DISCONNECT_OPERATION_NOT_VALID."""
    return Fault(2150859215, "w:InternalError", "The shell is disconnected already.")


def not_disconnected() -> Fault:
    """ERROR_WINRS_SHELL_RECONNECT_OPERATION_NOT_VALID."""
    return Fault(2150859216, "w:InternalError", "The shell is not disconnected.")


def filter_expected() -> Fault:
    """ERROR_WSMAN_ENUMERATE_SHELLCOMAMNDS_FILTER_EXPECTED."""
    return Fault(2150859200, "n:CannotProcessFilter", "Commands are listed of one shell: the filter names its ShellId.")


def no_such_enumeration() -> Fault:
    """ERROR_WSMAN_ENUMERATE_INVALID_ENUMERATION_CONTEXT."""
    return Fault(2150858779, "n:InvalidEnumerationContext", "There is no enumeration of this context.")


def unsupported(what: str) -> Fault:
    """ERROR_WSMAN_INVALID_ACTIONURI."""
    return Fault(2150858753, "a:ActionNotSupported", f"This service does not do {what}.")


def invalid_parameter(what: str) -> Fault:
    """ERROR_INVALID_PARAMETER."""
    return Fault(87, "w:InvalidParameter", what)


class Broken(Fault):
    """ERROR_WSMAN_PLUGIN_FAILED: the PowerShell plug-in was given what is no PSRP, and the shell cannot go on."""

    def __init__(self, text: str) -> None:
        super().__init__(2150858883, "w:InternalError", text, by_sender=False)
