"""An authority that signs the certificate of a server on this machine, by the `openssl` program."""

import shutil
import subprocess
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    def __init__(self, folder: Path) -> None:
        """Skips the test where there is no openssl."""
        if shutil.which("openssl") is None:
            pytest.skip("the program openssl is not installed")
        self.folder = folder
        folder.mkdir()
        (folder / "where").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        own = ("-keyout", "authority.key", "-out", "authority.pem", "-subj", "/CN=authority")
        self._run("req", "-x509", *_KEY, *own, "-days", "2")
        asks = ("-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
        self._run("req", *_KEY, *asks)
        signs = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial")
        signed = ("-out", "server.pem", "-days", "2", "-extfile", "where")
        self._run("x509", "-req", "-in", "server.csr", *signs, *signed)

    @property
    def pem(self) -> str:
        """What a client is to trust."""
        return (self.folder / "authority.pem").read_text()

    @property
    def config(self) -> str:
        """Of a nats-server."""
        folder = self.folder
        return f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key" }}\n'

    def _run(self, *words: str) -> None:
        subprocess.run(("openssl", *words), cwd=self.folder, check=True, capture_output=True)
