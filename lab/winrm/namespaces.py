"""The namespaces of WS-Management's envelopes [MS-WSMV 2.2.1]."""

from typing import Final

SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSMAN: Final = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
MS_WSMAN: Final = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
SHELL: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER: Final = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
ENUMERATION: Final = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
IDENTITY: Final = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
POWERSHELL: Final = "http://schemas.microsoft.com/powershell"
WSMAN_FAULT: Final = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
