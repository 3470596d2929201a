"""Telling members of staff: e-mail over SMTP, a Slack-compatible webhook, or a signed webhook of your own.

Where a message goes is the `notify` of a person in rules.yaml: an address, "#channel" or an https url. How it gets
there is a secret of the program: BRIDGE_SMTP_URL (smtp://user:password@host:587 or smtps://...), BRIDGE_MAIL_FROM,
BRIDGE_SLACK_WEBHOOK, BRIDGE_NOTIFY_SECRET (signs webhooks: X-Bridge-Signature, HMAC-SHA256 of the body in hex).
A password leaves this machine encrypted only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bridge.connector import Secret
from bridge.errors import BridgeError
from bridge.http import LOOPBACK

if TYPE_CHECKING:
    import smtplib

SECONDS = 15.0


class NotToldError(BridgeError):
    """A member of staff could not be told; the message says what to set or look at."""


@dataclass(frozen=True)
class Channels:
    """The ways out of this program to members of staff."""

    smtp_url: Secret | None = None
    mail_from: str = "recovery-bridge@localhost"
    slack_webhook: Secret | None = None
    signing_secret: Secret | None = None

    def tell(self, target: str, subject: str, text: str) -> None:
        """Send one message. Raises NotToldError if it did not get through, or if the way there is not set up."""
        way: Callable[[str, str, str], None] = self._mail
        if target.startswith("#"):
            way = self._slack
        elif "://" in target:
            way = self._webhook
        way(target, subject, text)

    def _mail(self, address: str, subject: str, text: str) -> None:
        import smtplib

        if self.smtp_url is None:
            raise NotToldError(f"{_masked(address)}: no mail server; set BRIDGE_SMTP_URL")
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.mail_from, address, subject
        message.set_content(text)
        try:
            with _mail_server(self.smtp_url) as client:
                client.send_message(message)
        except (OSError, smtplib.SMTPException) as exc:
            raise NotToldError(f"{_masked(address)}: the mail server did not take it ({type(exc).__name__})") from exc

    def _slack(self, channel: str, subject: str, text: str) -> None:
        if self.slack_webhook is None:
            raise NotToldError(f"{channel}: no chat webhook; set BRIDGE_SLACK_WEBHOOK")
        body = json.dumps({"channel": channel, "text": f"*{subject}*\n{text}"}).encode()
        self._post(self.slack_webhook.reveal(), channel, body)

    def _webhook(self, url: str, subject: str, text: str) -> None:
        self._post(url, _host(url), json.dumps({"subject": subject, "text": text}).encode())

    def _post(self, url: str, called: str, body: bytes) -> None:
        import requests

        headers = {"Content-Type": "application/json", "User-Agent": "recovery-bridge"}
        if self.signing_secret:
            digest = hmac.new(self.signing_secret.reveal().encode(), body, hashlib.sha256).hexdigest()
            headers["X-Bridge-Signature"] = f"sha256={digest}"
        try:
            answer = requests.post(url, data=body, headers=headers, timeout=SECONDS, allow_redirects=False)
        except requests.RequestException as exc:
            raise NotToldError(f"{called}: no answer ({type(exc).__name__})") from exc
        if answer.status_code >= 300:
            raise NotToldError(f"{called}: answered {answer.status_code}")


def _mail_server(smtp_url: Secret) -> smtplib.SMTP:
    """Connect and sign in. Raises NotToldError where that would not be safe, OSError or SMTPException."""
    import smtplib
    import ssl

    url = urlsplit(smtp_url.reveal())
    try:
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if url.scheme not in ("smtp", "smtps") or not host:
        raise NotToldError("BRIDGE_SMTP_URL: write smtp://user:password@host:587 or smtps://user:password@host")
    checked = ssl.create_default_context()
    if url.scheme == "smtps":
        client: smtplib.SMTP = smtplib.SMTP_SSL(host, port or 465, timeout=SECONDS, context=checked)
    else:
        client = smtplib.SMTP(host, port or 587, timeout=SECONDS)
    try:
        if url.scheme == "smtp" and host not in LOOPBACK:
            client.ehlo()
            if client.has_extn("starttls"):
                client.starttls(context=checked if url.username else None)  # no password, no need to know the server
            elif url.username:
                raise NotToldError("BRIDGE_SMTP_URL: this server would get the password unencrypted; use smtps://")
        if url.username:
            client.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        client.close()
        raise
    return client


def _host(url: str) -> str:
    """Return the part of an address that may be logged: the path of a webhook is often a secret."""
    return urlsplit(url).hostname or "webhook"


def _masked(address: str) -> str:
    """Return enough of an address to recognise it in a log."""
    name, _, host = address.partition("@")
    return f"{name[:2]}...@{host}"
