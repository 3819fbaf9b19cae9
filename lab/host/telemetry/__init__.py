"""The event logs of an emulated Windows host: happenings become records, as Windows would have written them.

Each provider's records are made by a pure module of its own (`security`, `sysmon`, `powershell`) after recordings of a real
session; `journal` numbers and times them; `witness` joins the two. Nothing here knows a rule, a scenario or an expectation.
"""

from lab.host.telemetry.journal import Sink
from lab.host.telemetry.origin import Origin
from lab.host.telemetry.witness import Telemetry

__all__ = ["Origin", "Sink", "Telemetry"]
