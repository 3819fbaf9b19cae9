"""pySigma's pipelines as they are stacked here: from a Windows log source to channel and event id, a variant a log that has its events.

This file must never know a rule.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sigma.processing.pipeline import ProcessingPipeline


AUDITED = {
    "process_creation": ("Sysmon 1", "Security 4688"),
    "registry_event": ("Sysmon 12 to 14", "Security 4657"),
    "registry_set": ("Sysmon 13", "Security 4657"),
    "registry_add": ("Sysmon 12", "Security 4657"),
}
"""The categories that Security has events of, too, by pySigma's pipeline for that log, and what the two variants of a rule are called."""


def is_audited(label: str) -> bool:
    """Whether the variant of this name is the one that Windows itself audits."""
    return any(label == audit for _, audit in AUDITED.values())


def fresh_pipeline(label: str) -> ProcessingPipeline:
    """The pipeline that adds channel and event id to a variant's rules, for a caller that puts others behind it: that changes them all."""
    return _audit_pipeline() if is_audited(label) else _sysmon_pipeline()


@cache
def sysmon() -> ProcessingPipeline:
    """The pipeline of all variants but the audited ones; nobody may change it."""
    return _sysmon_pipeline()


@cache
def audit() -> ProcessingPipeline:
    """That of the audited ones; nobody may change it."""
    return _audit_pipeline()


def _sysmon_pipeline() -> ProcessingPipeline:
    from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
    from sigma.pipelines.windows.windows import windows_logsource_pipeline

    stacked: ProcessingPipeline = sysmon_pipeline() + windows_logsource_pipeline() + _more_channels()
    return stacked


def _audit_pipeline() -> ProcessingPipeline:
    """A category as Security has it: process creation is 4688, a registry value that was added or set is 4657.

    Sysmon fields that the event lacks stay as they are and match nothing there; where pySigma says of a field that 4657 has nothing like
    it, the rule has no such variant. 4657 names a key by its object name (\\REGISTRY\\MACHINE\\...) and the value's name beside it, where
    Sysmon's TargetObject has both in one (HKLM\\...): a rule that asks for their whole, or for their end, does not match it there.

    What pySigma's pipeline leaves out: the account and the integrity level of 4688, which names the creator's account and, where the
    process runs under another, that one as well, and whose mandatory label is a SID, which is why rules list S-1-16-* beside the level's
    name; and that 4657's operation is logged as the number of a message, which only its rendering has in words.
    """
    from sigma.pipelines.common import logsource_windows
    from sigma.pipelines.windows.windows import windows_audit_pipeline, windows_logsource_pipeline
    from sigma.processing.conditions import IncludeFieldCondition
    from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
    from sigma.processing.transformations import FieldMappingTransformation, MapStringTransformation

    accounts = FieldMappingTransformation({"User": ["SubjectUserName", "TargetUserName"], "IntegrityLevel": "MandatoryLabel"})
    operations = {"New registry value created": "%%1904", "Existing registry value modified": "%%1905"}
    numbered = MapStringTransformation({words: [words, number] for words, number in operations.items()})
    items = [
        ProcessingItem(accounts, rule_conditions=[logsource_windows("security")]),
        ProcessingItem(
            numbered,
            rule_conditions=[logsource_windows("security")],
            field_name_conditions=[IncludeFieldCondition(fields=["OperationType"])],
        ),
    ]
    return windows_audit_pipeline() + windows_logsource_pipeline() + ProcessingPipeline(items=items)


def _more_channels() -> ProcessingPipeline:
    """Services and categories of Sigma's taxonomy that pySigma's pipelines do not know.

    SigmaHQ's tests/thor.yml names the services' channels; two of them are providers, whose channels are here beside them.

    `file_access` is Microsoft-Windows-Kernel-File's Create (12), which is logged whenever a file is opened. `file_rename` is not here: no
    event of that provider has both names, which those rules compare.
    """
    from sigma.pipelines.common import logsource_windows
    from sigma.processing.conditions import LogsourceCondition
    from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
    from sigma.processing.transformations import AddConditionTransformation

    channels: dict[str, str | list[str]] = {
        "application-experience": [
            "Microsoft-Windows-Application-Experience/Program-Telemetry",
            "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant",
        ],
        "hyper-v-worker": ["Microsoft-Windows-Hyper-V-Worker", "Microsoft-Windows-Hyper-V-Worker-Admin"],
        "iis-configuration": "Microsoft-IIS-Configuration/Operational",
        "kernel-event-tracing": ["Microsoft-Windows-Kernel-EventTracing", "Microsoft-Windows-Kernel-EventTracing/Admin"],
        "kernel-shimengine": ["Microsoft-Windows-Kernel-ShimEngine/Operational", "Microsoft-Windows-Kernel-ShimEngine/Diagnostic"],
        "ldap": "Microsoft-Windows-LDAP-Client/Debug",
        "ntfs": "Microsoft-Windows-Ntfs/Operational",
        "sense": "Microsoft-Windows-SENSE/Operational",
        "servicebus-client": ["Microsoft-ServiceBus-Client/Admin", "Microsoft-ServiceBus-Client/Operational"],
        "smbclient-connectivity": "Microsoft-Windows-SmbClient/Connectivity",
        "smbserver-connectivity": "Microsoft-Windows-SMBServer/Connectivity",
    }
    opened: dict[str, str | int | list[str]] = {"Channel": "Microsoft-Windows-Kernel-File/Analytic", "EventID": 12}
    file_access = LogsourceCondition(category="file_access", product="windows")
    return ProcessingPipeline(
        items=[
            ProcessingItem(AddConditionTransformation(opened), rule_conditions=[file_access]),
            *(
                ProcessingItem(AddConditionTransformation({"Channel": channel}), rule_conditions=[logsource_windows(service)])
                for service, channel in channels.items()
            ),
        ]
    )
