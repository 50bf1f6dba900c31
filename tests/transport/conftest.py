"""Event loops for transport tests: the gateway runs uvloop, users of the SDK run either."""

import asyncio
import shutil
import subprocess

import pytest
import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(config, item):
    """Run every asynchronous test of this folder on both loops."""
    return LOOPS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Folder with an authority (`ca.pem`) and a server certificate (`server.pem`) for this machine."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command to make test certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n")
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for command in (
        f"req -x509 {new_key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        f"req {new_key} -subj /CN=server -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out server.crt",
    ):
        subprocess.run([openssl, *command.split()], cwd=folder, check=True, capture_output=True)
    (folder / "server.pem").write_bytes(
        (folder / "server.key").read_bytes() + (folder / "server.crt").read_bytes()
    )
    return folder
