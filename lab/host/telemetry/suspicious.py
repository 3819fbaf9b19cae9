"""The words for which PowerShell logs a script block as a warning, and without being told to log any.

A table: the names that PowerShell's own checker looks up (SuspiciousContentChecker in CompiledScriptBlock.cs of PowerShell/PowerShell). It
looks for them whatever their case and whatever stands around them; what else it makes of a text's syntax is not done here. It must never
know what the text does.
"""

from __future__ import annotations

import re

_WORDS = """
Add-Type DllImport
DefineDynamicAssembly DefineDynamicModule DefineType DefineConstructor CreateType DefineLiteral DefineEnum DefineField ILGenerator Emit
UnverifiableCodeAttribute DefinePInvokeMethod GetTypes GetAssemblies Methods Properties
GetConstructor GetConstructors GetDefaultMembers GetEvent GetEvents GetField GetFields GetInterface GetInterfaceMap GetInterfaces GetMember
GetMembers GetMethod GetMethods GetNestedType GetNestedTypes GetProperties GetProperty InvokeMember MakeArrayType MakeByRefType
MakeGenericType MakePointerType DeclaringMethod DeclaringType ReflectedType TypeHandle TypeInitializer UnderlyingSystemType
InteropServices Marshal AllocHGlobal PtrToStructure StructureToPtr FreeHGlobal IntPtr
MemoryStream DeflateStream FromBase64String EncodedCommand Bypass ToBase64String ExpandString GetPowerShell
OpenProcess VirtualAlloc VirtualFree WriteProcessMemory CreateUserThread CloseHandle GetDelegateForFunctionPointer kernel32 CreateThread
memcpy LoadLibrary GetModuleHandle GetProcAddress VirtualProtect FreeLibrary ReadProcessMemory CreateRemoteThread AdjustTokenPrivileges
WriteByte WriteInt32 OpenThreadToken PtrToString ZeroFreeGlobalAllocUnicode OpenProcessToken GetTokenInformation SetThreadToken
ImpersonateLoggedOnUser RevertToSelf GetLogonSessionData CreateProcessWithToken DuplicateTokenEx OpenWindowStation OpenDesktop
MiniDumpWriteDump AddSecurityPackage EnumerateSecurityPackages GetProcessHandle DangerousGetHandle
CryptoServiceProvider Cryptography RijndaelManaged SHA1Managed CryptoStream CreateEncryptor CreateDecryptor TransformFinalBlock
DeviceIoControl SetInformationProcess PasswordDeriveBytes
GetAsyncKeyState GetKeyboardState GetForegroundWindow
BindingFlags NonPublic
ScriptBlockLogging LogPipelineExecutionDetails ProtectedEventLogging
"""

_FIND = re.compile("|".join(map(re.escape, _WORDS.split())), re.IGNORECASE | re.ASCII)


def is_suspicious(text: str) -> bool:
    """Whether the text has one of the words anywhere in it."""
    return _FIND.search(text) is not None
