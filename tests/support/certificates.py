"""Self-signed certificates, made with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def make_certificate(folder: Path, name: str, alt_names: str) -> tuple[Path, Path]:
    """Make a key and a self-signed certificate in this folder; return their paths.

    ``alt_names`` is as openssl has it, as in ``DNS:localhost,IP:127.0.0.1``.
    """
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        + ["-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={name}"]
        + ["-addext", f"subjectAltName={alt_names}"],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem, key.pem, the same key with a password (locked.pem), and empty.pem."""
    folder = tmp_path_factory.mktemp("pem")
    key, _ = make_certificate(folder, "bar", "IP:127.0.0.1")
    subprocess.run(
        [
            "openssl",
            "ec",
            "-aes128",
            "-passout",
            "pass:x",
            "-in",
            key,
            "-out",
            folder / "locked.pem",
        ],
        check=True,
        capture_output=True,
    )
    (folder / "empty.pem").write_text("")
    return folder
