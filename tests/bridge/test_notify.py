"""Telling members of staff: over a mail server and webhooks of our own, on loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from werkzeug import Request, Response

from bridge.connector import Secret
from bridge.notify import Channels, NotToldError
from connectors.sandbox.server import serve


# ------------------------------------------------------------------ mail
@dataclass
class MailServer:
    """What a mail server heard, line by line; *refuses* is a command that it says no to."""

    port: int
    heard: list[str] = field(default_factory=list)
    refuses: str = "none"

    @property
    def channels(self) -> Channels:
        return Channels(smtp_url=Secret(f"smtp://127.0.0.1:{self.port}"), mail_from="bridge@example.com")


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            in_message = False
            for raw in self.rfile:
                line = raw.decode().rstrip("\r\n")
                server.heard.append(line)
                in_message = in_message and line != "."
                if in_message:
                    continue
                word = line.split(" ")[0].upper()
                in_message = word == "DATA" != server.refuses
                answers = {"DATA": "354 go on", "EHLO": "250-here\r\n250 AUTH PLAIN", "AUTH": "235 in", "QUIT": "221"}
                answer = "554 no" if word == server.refuses else answers.get(word, "250 fine")
                self.wfile.write(f"{answer}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as tcp:
        server = MailServer(tcp.server_address[1])
        thread = threading.Thread(target=tcp.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        tcp.shutdown()
        thread.join()


def test_a_mail_goes_to_its_address(mail_server: MailServer) -> None:
    mail_server.channels.tell("lead@example.com", "ticket 7 of acme", "nobody can take it")

    heard = mail_server.heard
    assert {"rcpt TO:<lead@example.com>", "Subject: ticket 7 of acme", "nobody can take it"} <= set(heard)
    assert "From: bridge@example.com" in heard


def test_user_and_password_of_the_address_sign_in(mail_server: MailServer) -> None:
    url = f"smtp://us%40er:pass@127.0.0.1:{mail_server.port}"

    Channels(smtp_url=Secret(url)).tell("lead@example.com", "a", "b")

    assert any(line.startswith("AUTH PLAIN") for line in mail_server.heard)


def test_no_password_goes_unencrypted_to_another_machine(mail_server: MailServer) -> None:
    url = f"smtp://user:mail-password@127.1:{mail_server.port}"  # a name of loopback that the bridge does not know

    with pytest.raises(NotToldError, match="would get the password unencrypted; use smtps://"):
        Channels(smtp_url=Secret(url)).tell("lead@example.com", "a", "b")

    assert not any(line.startswith("AUTH") for line in mail_server.heard)


@pytest.mark.parametrize("refuses", ["RCPT", "DATA", "AUTH"])
def test_a_server_that_says_no_is_told_of_without_the_address(mail_server: MailServer, refuses: str) -> None:
    mail_server.refuses = refuses
    url = f"smtp://user:mail-password@127.0.0.1:{mail_server.port}"

    with pytest.raises(NotToldError, match=r"^le\.\.\.@example\.com: the mail server did not take it") as told:
        Channels(smtp_url=Secret(url)).tell("lead@example.com", "a", "b")

    assert "mail-password" not in str(told.value)


@pytest.mark.parametrize("url", ["mail.example.com:587", "smtp://", "smtp://host:many", "http://mail.example.com"])
def test_an_address_of_no_mail_server_says_how_to_write_it(url: str) -> None:
    with pytest.raises(NotToldError, match=r"^BRIDGE_SMTP_URL: write smtp://user:password@host:587"):
        Channels(smtp_url=Secret(url)).tell("lead@example.com", "a", "b")


@pytest.mark.parametrize(
    ("target", "names"), [("lead@example.com", "BRIDGE_SMTP_URL"), ("#leads", "BRIDGE_SLACK_WEBHOOK")]
)
def test_a_way_that_is_not_set_up_names_its_variable(target: str, names: str) -> None:
    with pytest.raises(NotToldError, match=f"set {names}"):
        Channels().tell(target, "a", "b")


# ------------------------------------------------------------------ webhooks
@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, list[Request]]]:
    """Serve a webhook; gives its address with a secret path, and the requests that came."""
    came: list[Request] = []

    @Request.application
    def answer(request: Request) -> Response:
        request.get_data()
        came.append(request)
        return Response("thanks", status, headers={"Location": "/elsewhere"})

    with serve(answer) as url:
        yield f"{url}/T000/path-secret", came


def test_a_chat_channel_is_told_through_the_webhook() -> None:
    with webhook() as (url, came):
        Channels(slack_webhook=Secret(url)).tell("#leads", "ticket 7", "nobody can take it")

    assert json.loads(came[0].get_data()) == {"channel": "#leads", "text": "*ticket 7*\nnobody can take it"}


def test_a_webhook_of_ones_own_is_signed() -> None:
    with webhook() as (url, came):
        Channels(signing_secret=Secret("sign")).tell(url, "ticket 7", "nobody can take it")

    body = came[0].get_data()
    assert json.loads(body) == {"subject": "ticket 7", "text": "nobody can take it"}
    assert came[0].headers["X-Bridge-Signature"] == f"sha256={hmac.new(b'sign', body, hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_accept_is_named_by_its_host_alone(status: int) -> None:
    with webhook(status) as (url, came), pytest.raises(NotToldError, match=f"^127.0.0.1: answered {status}$"):
        Channels().tell(url, "a", "b")

    assert len(came) == 1  # a redirect is not followed


def test_a_webhook_that_is_not_there_is_named_by_its_host_alone() -> None:
    with webhook() as (url, _):
        pass

    with pytest.raises(NotToldError, match=r"^127.0.0.1: no answer \(ConnectionError\)$"):
        Channels().tell(url, "a", "b")


def test_the_address_of_the_chat_webhook_is_never_told() -> None:
    with webhook(500) as (url, _), pytest.raises(NotToldError, match=r"^#leads: answered 500$"):
        Channels(slack_webhook=Secret(url)).tell("#leads", "a", "b")
