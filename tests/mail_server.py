"""A mail server for tests: it hears mail on loopback, and answers any command as a story wants it to."""

from __future__ import annotations

import email
import email.policy
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage

from bridge.connector import Secret
from bridge.notify import Channels

POLITE = {
    "EHLO": "250-here\r\n250-SMTPUTF8\r\n250 AUTH PLAIN",
    "AUTH": "235 come in",
    "DATA": "354 go on",
    ".": "250 taken",  # the end of a message
    "QUIT": "221 bye",
}
HANG_UP = ""  # instead of an answer


@dataclass
class MailServer:
    """What the server heard, line by line, and the mails that it took; *answers* by command change what it says."""

    port: int
    heard: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def channels(self) -> Channels:
        return Channels(smtp_url=Secret(self.url), mail_from="bridge@example.com")

    @property
    def recipients(self) -> list[str]:
        """The addresses that mail was to go to, as the envelope has them."""
        return [line[len("rcpt TO:<") : line.index(">")] for line in self.heard if line.lower().startswith("rcpt to:<")]

    @property
    def texts(self) -> list[str]:
        """What stands in the mails, with the ends of lines that Python has."""
        return [mail.get_content().replace("\r\n", "\n") for mail in self.mails]

    def answer(self, command: str) -> str:
        return self.answers.get(command, POLITE.get(command, "250 fine"))


class _Talk(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.say("220 here")
        mail: list[bytes] | None = None
        with suppress(ConnectionError):
            while line := self.rfile.readline():
                mail = self.hear_mail(mail, line) if mail is not None else self.hear_command(line)

    def hear_command(self, line: bytes) -> list[bytes] | None:
        """Answer one command; returns where the lines of a mail go if one begins now."""
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        self.server.story.heard.append(text)
        verb = text.split(" ")[0].upper()
        answer = self.server.story.answer(verb)
        self.say(answer)
        return [] if verb == "DATA" and answer.startswith("354") else None

    def hear_mail(self, mail: list[bytes], line: bytes) -> list[bytes] | None:
        """Keep one line of a mail; at its end the mail is taken, unless the answer is another one."""
        if line != b".\r\n":
            return [*mail, line.removeprefix(b".")]
        answer = self.server.story.answer(".")
        if answer.startswith("250"):
            whole = email.message_from_bytes(b"".join(mail), _class=EmailMessage, policy=email.policy.SMTP)
            self.server.story.mails.append(whole)
        self.say(answer)
        return None

    def say(self, answer: str) -> None:
        if answer == HANG_UP:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(f"{answer}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    story: MailServer


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Serve SMTP on loopback while the block lasts."""
    with _Server(("127.0.0.1", 0), _Talk) as server:
        server.story = MailServer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.story
        server.shutdown()
        thread.join()
