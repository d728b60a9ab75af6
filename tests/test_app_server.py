"""Where the live page listens, and whom it answers."""

import asyncio
import subprocess
import sys

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from maskcorrect_plugin.app import server
from maskcorrect_plugin.app.guard import FORM_BYTES, HEADERS, Guard
from maskcorrect_plugin.cli import app
from maskcorrect_plugin.errors import ArgumentError


def maskcorrect(*arguments):
    return CliRunner().invoke(app, ["app", *arguments])


def test_gradio_is_asked_for_by_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    done = maskcorrect()
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert done.stderr.endswith('Install it with: pip install "maskcorrect-plugin[app]"\n')


def test_there_is_no_way_to_share_the_page_with_the_world():
    help_text = maskcorrect("--help").stdout
    assert "--host" in help_text and "--port" in help_text and "--share" not in help_text
    done = maskcorrect("--share")
    assert done.exit_code == 2 and "No such option: --share" in done.stderr


def test_gradio_is_not_imported_before_the_page_is_served():
    code = "import sys, maskcorrect_plugin.app.server, maskcorrect_plugin.app.answering; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"gradio", "fastapi", "uvicorn"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *(("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("example.org", False)),
        ("127.0.0.1.example.org", False),
    ],
)
def test_only_loopback_addresses_are_this_computer_alone(host, alone):
    assert server.is_loopback(host) is alone


def test_a_port_that_is_taken_is_an_error_and_zero_takes_a_free_one():
    with server.listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert server.page_address(listening) == f"http://127.0.0.1:{port}"
        with pytest.raises(ArgumentError, match=f"host '127.0.0.1' and port {port} cannot be used"):
            server.listen("127.0.0.1", port)
    with pytest.raises(ArgumentError, match="host 'no such host' and port 0 cannot be used"):
        server.listen("no such host", 0)


HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7860"}, None),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, None),
        ({"host": "[::1]:7860"}, None),
        ({"host": "127.0.0.1:7860", "content-length": "1000"}, None),
        ({"host": "evil.example:7860"}, 403),
        ({}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "null"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:8000"}, 403),
        ({"host": "127.0.0.1:7860", "content-length": str(1001 + FORM_BYTES)}, 413),
        ({"host": "127.0.0.1:7860", "content-length": "-1"}, 413),
    ],
)
def test_only_the_page_itself_may_use_the_server(headers, status):
    refusal = Guard(None, HOSTS, 1000).refusal(headers)
    assert (refusal and refusal[0]) == status


def test_a_page_for_other_computers_may_be_called_by_any_name():
    guard = Guard(None, None, 1000)
    assert guard.refusal({"host": "laboratory:7860", "origin": "http://laboratory:7860"}) is None
    assert guard.refusal({"host": "laboratory:7860", "origin": "http://evil.example"})[0] == 403


def test_every_answer_carries_the_policy_that_keeps_the_browser_here():
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"page"})

    def ask(host):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "headers": [(b"host", host)]}
        asyncio.run(Guard(application, HOSTS, 10)(scope, None, send))
        return sent

    start, body = ask(b"127.0.0.1")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 200 and body["body"] == b"page" and headers["x-own"] == "1"
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert (
        "default-src 'self'" in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
    )
    start, body = ask(b"evil.example")
    assert start["status"] == 403 and b"evil.example" in body["body"]
