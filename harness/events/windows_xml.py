"""Windows events as XML: as Windows itself renders them, `wevtutil` and the event viewer write them, and `evtx_dump` does.

A file of them need be no document: elements may follow each other with or without one around them, declarations and lines of numbers
between them. It is read as a stream, an element at a time. This file must not know where it came from or what a rule asks of it.

Form: https://learn.microsoft.com/en-us/windows/win32/wes/eventschema-schema.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from datetime import UTC
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from harness.events.json_documents import LONGEST
from harness.events.publishers import keyword_names, opcode_name, task_name
from harness.events.windows import Level, WindowsEvent

_NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"

_LEVELS = {Level.LOG_ALWAYS: "Information", Level.ERROR: "Error", Level.WARNING: "Warning", Level.INFORMATION: "Information"}

_CHUNK = 64 * 1024
_BEGIN = re.compile(r"<Event(?=[\s>])")
_END = re.compile(r"</Event\s*>")
_LONGEST_TAG = 40
_TAG = re.compile(r"<[^>]*>")
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


# --- writing --------------------------------------------------------------------------------------------------------------


def render(event: WindowsEvent) -> str:
    """The element for this record, on one line where its values are. A carriage return is written as a reference: parsers fold it else.

    What XML cannot say becomes U+FFFD. The message, which only the publisher's metadata makes, stands in `RenderingInfo`.
    """
    created = event.created.astimezone(UTC)
    system = [
        _empty("Provider", Name=event.provider, Guid=event.provider_guid),
        _element("EventID", str(event.event_id)),
        _element("Version", str(event.version)),
        _element("Level", str(int(event.level))),
        _element("Task", str(event.task)),
        _element("Opcode", str(event.opcode)),
        _element("Keywords", f"0x{event.keywords:x}"),
        _empty("TimeCreated", SystemTime=f"{created:%Y-%m-%dT%H:%M:%S.%f}0Z"),
        _element("EventRecordID", str(event.record_id)),
        _empty("Correlation", ActivityID=event.activity_id),
        _empty("Execution", ProcessID=str(event.process_id or 0), ThreadID=str(event.thread_id or 0)),
        _element("Channel", event.channel),
        _element("Computer", event.computer),
        _empty("Security", UserID=event.user_sid),
    ]
    data = [f"<Data Name={quoteattr(_sayable(name))}>{_text(value)}</Data>" for name, value in event.data.items()]
    data += [_element("Data", value) for value in event.strings]
    return (
        f"<Event xmlns='{_NAMESPACE}'><System>{''.join(system)}</System>"
        f"<EventData>{''.join(data)}</EventData>{_rendering(event) if event.message else ''}</Event>"
    )


def _rendering(event: WindowsEvent) -> str:
    keywords = "".join(_element("Keyword", name) for name in keyword_names(event.provider, event.keywords))
    said = [
        _element("Message", event.message),
        _element("Level", _LEVELS.get(event.level, "Verbose")),
        _element("Task", task_name(event.provider, event.task)),
        _element("Opcode", opcode_name(event.provider, event.opcode)),
        _element("Channel", event.channel),
        f"<Keywords>{keywords}</Keywords>",
    ]
    return f"<RenderingInfo Culture='en-US'>{''.join(said)}</RenderingInfo>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{_text(text)}</{name}>"


def _empty(name: str, **attributes: str | None) -> str:
    said = "".join(f" {key}={quoteattr(_sayable(value))}" for key, value in attributes.items() if value is not None)
    return f"<{name}{said}/>"


def _text(text: str) -> str:
    return escape(_sayable(text), {"\r": "&#13;"})


def _sayable(text: str) -> str:
    return _UNSPEAKABLE.sub("\ufffd", text)


# --- reading --------------------------------------------------------------------------------------------------------------


def is_xml(stream: io.BufferedReader) -> bool:
    """Whether the stream begins as a file of such elements does."""
    head = stream.peek(512)[:512]
    text = head.decode(_encoding(head), "replace").lstrip("\ufeff \t\r\n")
    return text.startswith("<") or re.match(r"Record \d+\r?\n<", text) is not None


def documents(stream: io.BufferedReader) -> Iterator[tuple[int, object | ValueError]]:
    """The number of each element, from 1, and the document that `harness.events.evtx.read` reads, or the ValueError that says why none."""
    for number, text in enumerate(_elements(stream), start=1):
        try:
            if isinstance(text, ValueError):
                raise text
            yield number, document(text)
        except (ElementTree.ParseError, ValueError, RecursionError) as error:
            yield number, ValueError(f"no XML of an event: {error}")


def document(text: str) -> dict[str, object]:
    """One element in the shape that the EVTX parser gives a record. Raises ValueError, or its kind ParseError, where it is none.

    It must begin with the element: what has no head before it declares no entities, and there is nothing to unfold.
    """
    if not text.startswith("<Event"):
        raise ValueError("it does not begin as an event does")
    return _document(ElementTree.fromstring(_kept_returns(text)))  # noqa: S314


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-16-le" if head[:4] == b"<\x00E\x00" else "utf-8"


def _elements(stream: io.BufferedReader) -> Iterator[str | ValueError]:
    """The text of each element. One that is longer than any event is left out, and so is one that does not end."""
    decoder = codecs.getincrementaldecoder(_encoding(stream.peek(4)[:4]))("replace")
    left, begun = "", False
    while chunk := stream.read(_CHUNK):
        left += decoder.decode(chunk)
        at = 0
        while True:
            if not begun:
                if (start := _BEGIN.search(left, at)) is None:
                    left = left[max(at, len(left) - _LONGEST_TAG) :]
                    break
                left, at, begun = left[start.start() :], 0, True
            end = _END.search(left, max(0, len(left) - len(chunk) - _LONGEST_TAG) if at == 0 else at)
            if end is None:
                break
            yield left[: end.end()]
            left, at, begun = left[end.end() :], 0, False
        if begun and len(left) > LONGEST:
            yield ValueError(f"an element is longer than {LONGEST // 1024**2} MiB")
            left, begun = left[1:][-_LONGEST_TAG:], False
    if begun:
        yield ValueError("the file ends within it")


def _kept_returns(text: str) -> str:
    """The same element with references for the carriage returns of its values: a parser would fold them with the line ends that follow."""
    if "\r" not in text:
        return text
    kept, last = [], 0
    for tag in _TAG.finditer(text):
        kept += [text[last : tag.start()].replace("\r", "&#13;"), tag[0]]
        last = tag.end()
    return "".join((*kept, text[last:]))


def _document(event: ElementTree.Element) -> dict[str, object]:
    parts: dict[str, object] = {}
    for part in event:
        name = _name(part)
        parts[name] = _data(part) if name == "EventData" else _tree(part)
    return {"Event": parts}


def _data(part: ElementTree.Element) -> dict[str, object]:
    found: dict[str, object] = {}
    unnamed: list[str] = []
    for data in part:
        if (name := data.get("Name")) is not None:
            found[name] = data.text or ""
        elif _name(data) == "Data":
            unnamed.append(data.text or "")
        else:
            found[_name(data)] = data.text or ""
    return found | ({"Data": {"#text": unnamed}} if unnamed else {})


def _tree(part: ElementTree.Element) -> object:
    below: dict[str, object] = {_name(child): _tree(child) for child in part}
    if part.attrib:
        below["#attributes"] = dict(part.attrib)
    if not below:
        return part.text or ""
    return below | ({"#text": part.text} if part.text and part.text.strip() else {})


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
