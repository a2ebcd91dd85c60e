"""TLS without a proxy in front."""

from __future__ import annotations

import ssl
from pathlib import Path

from sanic_dispatch.errors import SettingsError


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later from a certificate (with its chain) and key in PEM.

    Raises SettingsError if they cannot be read or do not match.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Debian's Python leaves it to openssl.cnf
    context.set_alpn_protocols(["http/1.1"])
    for flag, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{flag} {path}: {error.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError):
        raise SettingsError(
            f"--tls-cert {certificate}, --tls-key {key}: no certificate and its key in PEM, "
            "without a password"
        ) from None
    return context


def _no_password() -> bytes:
    """Return an empty password: by default OpenSSL would ask for one on the terminal."""
    return b""
