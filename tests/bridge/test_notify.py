"""Telling people: over a mail server and webhooks of our own, on loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from werkzeug import Request, Response

from bridge.connector import Secret
from bridge.notify import LONGEST_TEXT, Channels, NoAnswerError, NotToldError
from connectors.sandbox.server import serve
from tests.mail_server import HANG_UP, MailServer, mail_server

MIA = "mia@customer.example"
CARE = "Acme Care <care@acme.example>"
SHORTLY = 0.2  # seconds of patience where nobody answers


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


def ask(channels: Channels, to: str = MIA, sender: str | None = CARE, text: str = "Is it solved?") -> None:
    """Mail the second question to a customer."""
    channels.mail_customer(to, sender, "How was it?", text, "sr-e1")


def trouble(channels: Channels, target: str = "lead@example.com") -> NotToldError:
    """Tell somebody in vain; returns the error."""
    with pytest.raises(NotToldError) as told:
        channels.tell(target, "a", "b")
    return told.value


@contextmanager
def silence() -> Iterator[int]:
    """A port on which connections are made and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


# ------------------------------------------------------------------ mail
def test_a_mail_goes_to_its_address(server: MailServer) -> None:
    server.channels.tell("lead@example.com", "ticket 7 of acme", "nobody can take it")

    (mail,) = server.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == ("bridge@example.com", "lead@example.com", "ticket 7 of acme")
    assert (server.texts, server.recipients) == (["nobody can take it\n"], ["lead@example.com"])


def test_every_mail_says_that_a_program_wrote_it(server: MailServer) -> None:
    server.channels.tell("lead@example.com", "a", "b")
    ask(server.channels)

    for mail in server.mails:
        said = (mail["Auto-Submitted"], mail["Precedence"], mail["X-Auto-Response-Suppress"])
        assert said == ("auto-generated", "bulk", "OOF, AutoReply")


def test_a_mail_is_dated_by_the_clock_that_is_given(server: MailServer) -> None:
    noon = datetime(2026, 3, 9, 12, tzinfo=UTC)

    server.channels.tell("lead@example.com", "a", "b")
    replace(server.channels, now=lambda: noon).tell("lead@example.com", "a", "b")

    assert [mail["Date"] for mail in server.mails] == [None, "Mon, 09 Mar 2026 12:00:00 +0000"]


def test_a_repeat_can_be_recognised_by_its_id(server: MailServer) -> None:
    for name in ("sr-e1", "sr-e1", "<sr-e1@acme>"):
        server.channels.tell("lead@example.com", "a", "b", name)

    assert [mail["Message-ID"] for mail in server.mails] == ["<sr-e1@example.com>"] * 2 + ["<sr-e1@acme>"]


@pytest.mark.parametrize("breaks", ["\r\nBcc: all@example.com", "\nBcc: all@example.com", "\u2028x", "\0\v\f\x85"])
def test_a_subject_of_several_lines_becomes_one(server: MailServer, breaks: str) -> None:
    server.channels.tell("lead@example.com", f"ticket 7{breaks}", "b")

    assert (server.mails[0]["Bcc"], server.recipients) == (None, ["lead@example.com"])
    assert server.mails[0]["Subject"].startswith("ticket 7")


def test_a_long_text_for_staff_is_cut(server: MailServer) -> None:
    server.channels.tell("lead@example.com", "a" * 1000, "b" * (LONGEST_TEXT + 1))

    assert server.texts[0].split() == ["b" * LONGEST_TEXT, "(cut", "here)"]
    assert len(server.mails[0]["Subject"]) == 200


def test_user_and_password_of_the_address_sign_in(server: MailServer) -> None:
    url = f"smtp://us%40er:pass@127.0.0.1:{server.port}"

    Channels(smtp_url=Secret(url)).tell("lead@example.com", "a", "b")

    assert any(line.startswith("AUTH PLAIN") for line in server.heard)


def test_what_a_server_says_after_it_took_a_mail_changes_nothing(server: MailServer) -> None:
    for goodbye in ("500 what?", HANG_UP):
        server.answers["QUIT"] = goodbye
        server.channels.tell("lead@example.com", "a", "b")

    assert len(server.mails) == 2


# ------------------------------------------------------------------ mail to customers
def test_a_customer_gets_a_plain_text_mail_of_the_brand(server: MailServer) -> None:
    ask(server.channels, sender="Café Acme <care@acme.example>", text="Schöne Grüße: https://page.example/q?a=1&b=2")

    (mail,) = server.mails
    assert (mail["From"], mail["To"], mail["Message-ID"]) == (
        "Café Acme <care@acme.example>",
        MIA,
        "<sr-e1@acme.example>",
    )
    assert server.texts == ["Schöne Grüße: https://page.example/q?a=1&b=2\n"]
    assert (mail["Content-Type"], mail.is_multipart()) == ('text/plain; charset="utf-8"', False)
    assert any(line.lower().startswith("mail from:<care@acme.example>") for line in server.heard)


def test_without_a_sender_of_the_brand_it_is_that_of_all_mail(server: MailServer) -> None:
    ask(replace(server.channels, mail_from="Recovery <bridge@example.com>"), sender=None)

    assert server.mails[0]["From"] == "Recovery <bridge@example.com>"


@pytest.mark.parametrize("name", ["Acme, Inc.", '"Acme, Inc."', "Acme\r\nBcc: all@example.com", "Ä" * 90])
def test_whatever_the_sender_is_called_there_is_one_sender(server: MailServer, name: str) -> None:
    ask(server.channels, sender=f"{name} <care@acme.example>")

    assert [one.addr_spec for one in server.mails[0]["From"].addresses] == ["care@acme.example"]
    assert (server.mails[0]["Bcc"], server.recipients) == (None, [MIA])


@pytest.mark.parametrize("sender", ["care", "Care <care>", "<>", "a@b.example, c@d.example", "Care <a@b.example> x"])
def test_a_sender_without_one_address_says_how_to_write_it(server: MailServer, sender: str) -> None:
    with pytest.raises(NotToldError, match=r"write it like Acme Care <care@acme\.example>") as told:
        ask(server.channels, sender=sender)

    assert (told.value.is_lasting, server.heard[1:]) == (True, [])


@pytest.mark.parametrize(
    "to",
    [
        f"{MIA}, all@customer.example", f"{MIA}\r\nBcc: all@customer.example", f"Mia <{MIA}>", "", "mia", f"{MIA}\0",
        f"{MIA} ", "@customer.example", '"a b"@customer.example', f"mia@{MIA}",
    ],
)  # fmt: skip
def test_only_one_plain_address_is_mailed(server: MailServer, to: str) -> None:
    with pytest.raises(NotToldError, match=r"^an address: no mail can go there") as told:
        ask(server.channels, to)

    assert (told.value.is_lasting, server.heard) == (True, [])


def test_a_question_that_would_be_cut_is_not_asked(server: MailServer) -> None:
    with pytest.raises(NotToldError, match=r"^mi\.\.\.@customer\.example: the text is longer than 20000") as told:
        ask(server.channels, text="x" * (LONGEST_TEXT + 1))

    assert (told.value.is_lasting, server.heard) == (True, [])


def test_what_no_mail_can_carry_is_left_out(server: MailServer) -> None:
    ask(server.channels, text="a\0b \ud800\n.\n..c\rQUIT")

    assert server.texts[0] == "ab ?\n.\n..c\nQUIT\n"


def test_an_address_beyond_ascii_needs_a_server_that_takes_it(server: MailServer) -> None:
    ask(server.channels, "müa@customer.example")
    server.answers["EHLO"] = "250 here"

    with pytest.raises(NotToldError, match=r"cannot take it \(SMTPNotSupportedError\)") as told:
        ask(server.channels, "müa@customer.example")

    assert (server.recipients, told.value.is_lasting) == (["müa@customer.example"], True)


def test_customers_can_be_mailed_where_there_is_a_mail_server(server: MailServer) -> None:
    assert (Channels().can_mail, server.channels.can_mail) == (False, True)
    with pytest.raises(NotToldError, match="set BRIDGE_SMTP_URL"):
        ask(Channels())


# ------------------------------------------------------------------ mail servers that say no
@pytest.mark.parametrize(
    ("command", "answer", "is_lasting"),
    [
        ("MAIL", "550 not from here", True), ("MAIL", "451 busy", False),
        ("RCPT", "550 nobody of that name", True), ("RCPT", "450 come back later", False),
        ("RCPT", "421 closing", False), ("DATA", "554 no", True), ("DATA", "452 disk full", False),
        (".", "550 it is spam", True), (".", "451 try again", False),
        ("AUTH", "535 wrong password", True), ("AUTH", "454 ask me later", False),
        ("AUTH", "538 only encrypted", True),
    ],
)  # fmt: skip
def test_the_code_of_a_refusal_tells_whether_waiting_helps(
    server: MailServer, command: str, answer: str, is_lasting: bool
) -> None:
    server.answers[command] = answer
    url = f"smtp://user:mail-password@127.0.0.1:{server.port}"

    told = trouble(Channels(smtp_url=Secret(url)))

    assert (told.is_lasting, told.may_have_arrived, isinstance(told, NoAnswerError)) == (is_lasting, False, False)
    assert str(told).startswith("le...@example.com: the mail server did not take it (SMTP")
    assert f"{answer[:3]})" in str(told)


@pytest.mark.parametrize(
    ("command", "may_have_arrived"), [("EHLO", False), ("AUTH", False), ("DATA", True), (".", True)]
)
def test_only_where_the_line_broke_while_sending_may_a_mail_have_arrived(
    server: MailServer, command: str, may_have_arrived: bool
) -> None:
    server.answers[command] = HANG_UP
    url = f"smtp://user:mail-password@127.0.0.1:{server.port}"

    told = trouble(Channels(smtp_url=Secret(url)))

    assert (isinstance(told, NoAnswerError), told.is_lasting) == (True, False)
    assert told.may_have_arrived is may_have_arrived


def test_a_server_that_talks_nonsense_may_have_taken_the_mail(server: MailServer) -> None:
    server.answers["."] = "fine, thanks"

    told = trouble(server.channels)

    assert (isinstance(told, NoAnswerError), told.may_have_arrived) == (True, True)


def test_a_server_that_says_nothing_is_waited_for_in_bounds() -> None:
    with silence() as port:
        told = trouble(Channels(smtp_url=Secret(f"smtp://127.0.0.1:{port}"), timeout=SHORTLY))

    assert (isinstance(told, NoAnswerError), told.may_have_arrived) == (True, False)


def test_a_server_that_is_not_there_may_be_there_later() -> None:
    with mail_server() as server:
        pass

    told = trouble(server.channels)

    assert str(told) == "le...@example.com: the mail server does not answer (ConnectionRefusedError)"
    assert (isinstance(told, NoAnswerError), told.is_lasting, told.may_have_arrived) == (True, False, False)


def test_a_server_that_only_pretends_to_encrypt_gets_no_mail(server: MailServer) -> None:
    told = trouble(Channels(smtp_url=Secret(f"smtps://user:mail-password@127.0.0.1:{server.port}"), timeout=SHORTLY))

    assert (told.is_lasting, told.may_have_arrived) == (False, False)
    assert not any("AUTH" in line or "MAIL" in line for line in server.heard)


def test_no_password_goes_unencrypted_to_another_machine(server: MailServer) -> None:
    url = f"smtp://user:mail-password@127.1:{server.port}"  # a name of loopback that the bridge does not know

    told = trouble(Channels(smtp_url=Secret(url)))

    assert (told.is_lasting, "would get the password unencrypted; use smtps://" in str(told)) == (True, True)
    assert not any(line.startswith("AUTH") for line in server.heard)


def test_no_password_goes_to_a_server_that_cannot_encrypt_just_now(server: MailServer) -> None:
    server.answers |= {"EHLO": "250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN", "STARTTLS": "454 not now"}

    told = trouble(Channels(smtp_url=Secret(f"smtp://user:mail-password@127.1:{server.port}")))

    assert told.is_lasting is False
    assert not any(line.startswith("AUTH") for line in server.heard)


def test_a_server_that_wants_no_password_cannot_be_signed_in_to(server: MailServer) -> None:
    server.answers["EHLO"] = "250 here"

    told = trouble(Channels(smtp_url=Secret(f"smtp://user:mail-password@127.0.0.1:{server.port}")))

    assert (told.is_lasting, "is BRIDGE_SMTP_URL right?" in str(told)) == (True, True)


@pytest.mark.parametrize("command", ["AUTH", "RCPT", "."])
def test_no_error_of_mail_tells_address_text_or_password(server: MailServer, command: str) -> None:
    server.answers[command] = f"550 {MIA} Is it solved? mail-password"
    channels = Channels(smtp_url=Secret(f"smtp://user:mail-password@127.0.0.1:{server.port}"))

    with pytest.raises(NotToldError, match=r"^mi\.\.\.@customer\.example: ") as told:
        ask(channels)

    assert not any(secret in str(told.value) for secret in (MIA, "Is it solved?", "mail-password"))


@pytest.mark.parametrize(
    "url", ["mail.example.com:587", "smtp://", "smtp://host:many", "http://mail.example.com", "smtp://[bad"]
)
def test_an_address_of_no_mail_server_says_how_to_write_it(url: str) -> None:
    told = trouble(Channels(smtp_url=Secret(url)))

    assert str(told).startswith("BRIDGE_SMTP_URL: write smtp://user:password@host:587")
    assert told.is_lasting


def test_a_password_that_mail_servers_cannot_read_is_told_of(server: MailServer) -> None:
    server.answers["EHLO"] = "250-here\r\n250 AUTH CRAM-MD5"
    server.answers["AUTH"] = "334 PDE+"

    told = trouble(Channels(smtp_url=Secret(f"smtp://user:p%C3%A4ss@127.0.0.1:{server.port}")))

    assert (told.is_lasting, "BRIDGE_SMTP_URL" in str(told)) == (True, True)


@pytest.mark.parametrize(
    ("target", "names"), [("lead@example.com", "BRIDGE_SMTP_URL"), ("#leads", "BRIDGE_SLACK_WEBHOOK")]
)
def test_a_way_that_is_not_set_up_names_its_variable(target: str, names: str) -> None:
    told = trouble(Channels(), target)

    assert (told.is_lasting, f"set {names}" in str(told)) == (True, True)


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


def test_nothing_in_a_text_calls_a_whole_channel() -> None:
    with webhook() as (url, came):
        Channels(slack_webhook=Secret(url)).tell("#leads", "a", "<!channel> R&D")

    assert json.loads(came[0].get_data())["text"] == "*a*\n&lt;!channel&gt; R&amp;D"


def test_a_webhook_of_ones_own_is_signed() -> None:
    with webhook() as (url, came):
        Channels(signing_secret=Secret("sign")).tell(url, "ticket 7", "nobody can take it", "sr-e1")

    body = came[0].get_data()
    assert json.loads(body) == {"subject": "ticket 7", "text": "nobody can take it"}
    assert came[0].headers["X-Bridge-Signature"] == f"sha256={hmac.new(b'sign', body, hashlib.sha256).hexdigest()}"
    assert came[0].headers["X-Bridge-Message"] == "sr-e1"


@pytest.mark.parametrize(
    ("status", "is_lasting"),
    [(302, True), (308, True), (400, True), (404, True), (410, True), (408, False), (429, False), (500, False)],
)
def test_the_status_of_a_webhook_tells_whether_waiting_helps(status: int, is_lasting: bool) -> None:
    with webhook(status) as (url, came):
        told = trouble(Channels(), url)

    assert str(told).partition(";")[0] == f"127.0.0.1: answered {status}"
    assert (told.is_lasting, isinstance(told, NoAnswerError)) == (is_lasting, False)
    assert len(came) == 1  # a redirect is not followed


def test_a_webhook_that_does_not_answer_is_waited_for_in_bounds() -> None:
    with silence() as port:
        told = trouble(Channels(timeout=SHORTLY), f"http://127.0.0.1:{port}/")

    assert (isinstance(told, NoAnswerError), str(told)) == (True, "127.0.0.1: no answer (ReadTimeout)")


def test_a_webhook_that_is_not_there_is_named_by_its_host_alone() -> None:
    with webhook() as (url, _):
        pass

    told = trouble(Channels(), url)

    assert (str(told), told.is_lasting) == ("127.0.0.1: no answer (ConnectionError)", False)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/path-secret", "https://", "https://[bad/path-secret", f"https://{'a' * 70}.example/"]
)
def test_an_address_of_no_webhook_is_told_of_without_its_path(url: str) -> None:
    told = trouble(Channels(), url)

    assert (told.is_lasting, "no usable address; correct it" in str(told)) == (True, True)
    assert "path-secret" not in str(told)


def test_the_address_of_the_chat_webhook_is_never_told() -> None:
    with webhook(500) as (url, _):
        assert str(trouble(Channels(slack_webhook=Secret(url)), "#leads")) == "#leads: answered 500"
    with webhook(404) as (url, _):
        assert str(trouble(Channels(slack_webhook=Secret(url)), "#leads")).startswith("#leads: answered 404; ")


@pytest.mark.parametrize(
    ("target", "way"),
    [("lead@example.com", "mail"), ("#leads", "chat"), ("https://hooks.example/T0/path-secret", "hooks.example")],
)
def test_every_target_has_a_way(target: str, way: str) -> None:
    assert Channels().way_to(target) == way
