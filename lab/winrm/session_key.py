"""The key under which secure strings cross one runspace pool, and its exchange [MS-PSRP 2.2.2.3, 2.2.2.4, 2.2.5.1.24].

Knows no message and no value. A secret never gets into an exception's text.
"""

from __future__ import annotations

import binascii
import os
import struct
from base64 import b64encode
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from lab.winrm.clixml import Malformed

_PUBLIC_HEAD: Final = b"\x06\x02\x00\x00\x00\xa4\x00\x00RSA1\x00\x08\x00\x00"  # a Win32 PUBLICKEYBLOB of an RSA key of 2048 bits
_SIMPLE_HEAD: Final = b"\x01\x02\x00\x00\x10\x66\x00\x00\x00\xa4\x00\x00"  # a SIMPLEBLOB: an AES-256 key under an RSA key
_MODULUS: Final = 256
_PADDING: Final = PKCS7(128)


class SessionKey:
    """AES-256 in CBC mode with an empty vector, as the protocol has it."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._cipher = Cipher(algorithms.AES(self._key), modes.CBC(bytes(16)))

    def wrapped(self, public_key: str) -> str:
        """The key for the owner of a client's public key (base64). Raises `Malformed`."""
        try:
            blob = binascii.a2b_base64("".join(public_key.split()), strict_mode=True)
            if len(blob) != len(_PUBLIC_HEAD) + 4 + _MODULUS or not blob.startswith(_PUBLIC_HEAD):
                raise Malformed("not an RSA key of 2048 bits")
            (exponent,) = struct.unpack_from("<I", blob, len(_PUBLIC_HEAD))
            modulus = int.from_bytes(blob[len(_PUBLIC_HEAD) + 4 :], "little")
            sealed = rsa.RSAPublicNumbers(exponent, modulus).public_key().encrypt(self._key, padding.PKCS1v15())
        except Malformed:
            raise
        except ValueError:
            raise Malformed("not a public key") from None
        return b64encode(_SIMPLE_HEAD + sealed[::-1]).decode()

    def close(self, plain: str) -> str:
        """The text of a secure string element."""
        padder = _PADDING.padder()
        encryptor = self._cipher.encryptor()
        padded = padder.update(plain.encode("utf-16-le", "surrogatepass")) + padder.finalize()
        return b64encode(encryptor.update(padded) + encryptor.finalize()).decode()

    def open(self, text: str) -> str:
        """The reverse. Raises `Malformed`."""
        try:
            decryptor = self._cipher.decryptor()
            padded = decryptor.update(binascii.a2b_base64("".join(text.split()), strict_mode=True)) + decryptor.finalize()
            unpadder = _PADDING.unpadder()
            return (unpadder.update(padded) + unpadder.finalize()).decode("utf-16-le")
        except ValueError:
            raise Malformed("not a secure string under the key of this session") from None
