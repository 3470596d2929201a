"""Telling people: members of staff by e-mail, chat or a signed webhook of your own, and customers by e-mail.

Where a message to staff goes is the `notify` of a person in rules.yaml: an address, "#channel" or an https url. How it
gets there is a secret of the program: BRIDGE_SMTP_URL (smtp://user:password@host:587 or smtps://...),
BRIDGE_MAIL_FROM, BRIDGE_SLACK_WEBHOOK, BRIDGE_NOTIFY_SECRET (signs webhooks: X-Bridge-Signature, HMAC-SHA256 of the
body in hex). A password leaves this machine encrypted only.

Every mail says that a program wrote it, so that no out-of-office robot answers: Auto-Submitted (RFC 3834), Precedence,
and X-Auto-Response-Suppress for Exchange ([MS-OXCMAIL] 2.1.3.2.20). Slack wants &, < and > escaped (its guide
"Formatting text for app surfaces"), so that nothing in a text can call a whole channel.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bridge.connector import Secret
from bridge.errors import BridgeError
from bridge.http import LOOPBACK

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

SECONDS = 15.0  # without a word, before we give up
LONGEST_SUBJECT = 200
LONGEST_TEXT = 20_000
BY_A_PROGRAM = {
    "Auto-Submitted": "auto-generated",
    "Precedence": "bulk",
    "X-Auto-Response-Suppress": "OOF, AutoReply",
}
_PART = r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]"  # no quoting and no list: one plain address
_ADDRESS = re.compile(rf"{_PART}{{1,64}}@{_PART}{{1,255}}")
_SENDER = re.compile(r'"?(?P<name>[^<>"]*?)"?\s*<(?P<address>[^<>]+)>')


class NotToldError(BridgeError):
    """Somebody could not be told; the message says what to set or look at.

    *is_lasting*: it will not work later either. *may_have_arrived*: the answer was lost, so perhaps not the message.
    """

    def __init__(self, message: str, *, is_lasting: bool, may_have_arrived: bool = False) -> None:
        super().__init__(message)
        self.is_lasting, self.may_have_arrived = is_lasting, may_have_arrived


class NoAnswerError(NotToldError):
    """Nobody answers there: no other message gets through that way at the moment."""

    def __init__(self, message: str, *, may_have_arrived: bool) -> None:
        super().__init__(message, is_lasting=False, may_have_arrived=may_have_arrived)


@dataclass(frozen=True)
class Channels:
    """The ways out of this program to people."""

    smtp_url: Secret | None = None
    mail_from: str = "recovery-bridge@localhost"
    slack_webhook: Secret | None = None
    signing_secret: Secret | None = None
    now: Callable[[], datetime] | None = None  # dates the mail; without it the mail server has to
    timeout: float = SECONDS

    @property
    def can_mail(self) -> bool:
        """True if there is a mail server."""
        return self.smtp_url is not None

    def way_to(self, target: str) -> str:
        """Return what a message to *target* goes through: mail, chat or the host of a webhook."""
        if target.startswith("#"):
            return "chat"
        return _host(target) if "://" in target else "mail"

    def tell(self, target: str, subject: str, text: str, message_id: str | None = None) -> None:
        """Send one message to staff; a repeat with the same *message_id* can be recognised as one.

        Too long a text is cut. Raises NotToldError if it did not get through, or if the way there is not set up.
        """
        subject, text = _one_line(subject), _cut(text)
        if target.startswith("#"):
            self._chat(target, subject, text, message_id)
        elif "://" in target:
            body = json.dumps({"subject": subject, "text": text})
            self._post(target, _host(target), body, message_id)
        else:
            self._mail(target, self.mail_from, subject, text, message_id)

    def mail_customer(self, to: str, sender: str | None, subject: str, text: str, message_id: str) -> None:
        """Send one mail to a customer, from *sender*, such as `Acme Care <care@acme.example>`, or as all other mail.

        *message_id* is a whole one, or the part before the @, such as `effect.marker`. Raises NotToldError, which
        repeats neither the address nor the text; where it says `may_have_arrived`, sending again could make it two.
        """
        if len(text) > LONGEST_TEXT:  # a survey whose link is cut off is none
            raise NotToldError(f"{_masked(to)}: the text is longer than {LONGEST_TEXT} characters", is_lasting=True)
        self._mail(to, sender or self.mail_from, _one_line(subject), text, message_id)

    # -------------------------------------------------------------- mail
    def _mail(self, to: str, sender: str, subject: str, text: str, message_id: str | None) -> None:
        called = _masked(to)
        if self.smtp_url is None:
            raise NotToldError(f"{called}: no mail server; set BRIDGE_SMTP_URL", is_lasting=True)
        if not _ADDRESS.fullmatch(to):
            raise NotToldError(f"{called}: no mail can go there; correct it where it comes from", is_lasting=True)
        is_sending = False
        try:
            message, return_to = self._message(to, sender, subject, text, message_id)
            with closing(_mail_server(self.smtp_url, self.timeout)) as client:
                is_sending = True
                client.send_message(message, return_to, [to])
                with suppress(OSError):  # it has been accepted, whatever comes now
                    client.quit()
        except OSError as exc:  # smtplib's own errors are also this
            raise _not_mailed(called, exc, is_sending=is_sending) from exc
        except ValueError as exc:
            what = f"{called}: this cannot be written in a mail ({type(exc).__name__})"
            raise NotToldError(f"{what}; look at its sender and at BRIDGE_SMTP_URL", is_lasting=True) from exc

    def _message(
        self, to: str, sender: str, subject: str, text: str, message_id: str | None
    ) -> tuple[EmailMessage, str]:
        """Return a mail, and the address that it comes from."""
        from email import policy
        from email.headerregistry import Address
        from email.message import EmailMessage

        found = _SENDER.fullmatch(sender.strip())
        name, address = (_one_line(found["name"]), found["address"].strip()) if found else ("", sender.strip())
        if not _ADDRESS.fullmatch(address):
            advice = "write it like Acme Care <care@acme.example>, in survey_texts or BRIDGE_MAIL_FROM"
            raise NotToldError(f"{_one_line(sender)!r} cannot be the sender of a mail; {advice}", is_lasting=True)
        message = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))  # not every server takes 8 bits
        message["From"], message["To"], message["Subject"] = Address(name, addr_spec=address), to, subject
        for header, value in BY_A_PROGRAM.items():
            message[header] = value
        if message_id:
            message["Message-ID"] = message_id if "@" in message_id else f"<{message_id}@{address.partition('@')[2]}>"
        if self.now:
            message["Date"] = self.now()
        message.set_content(text.replace("\0", "").encode("utf-8", "replace").decode())
        return message, address

    # -------------------------------------------------------------- webhooks
    def _chat(self, channel: str, subject: str, text: str, message_id: str | None) -> None:
        if self.slack_webhook is None:
            raise NotToldError(f"{channel}: no chat webhook; set BRIDGE_SLACK_WEBHOOK", is_lasting=True)
        shown = f"*{subject}*\n{text}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        self._post(self.slack_webhook.reveal(), channel, json.dumps({"channel": channel, "text": shown}), message_id)

    def _post(self, url: str, called: str, body: str, message_id: str | None) -> None:
        import requests

        headers = {"Content-Type": "application/json", "User-Agent": "recovery-bridge"}
        if message_id:
            headers["X-Bridge-Message"] = message_id
        if self.signing_secret:
            digest = hmac.new(self.signing_secret.reveal().encode(), body.encode(), hashlib.sha256).hexdigest()
            headers["X-Bridge-Signature"] = f"sha256={digest}"
        try:  # streaming: what it says beside its status may be endless
            with requests.post(
                url, data=body.encode(), headers=headers, timeout=self.timeout, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except ValueError as exc:  # requests' own errors about an url are also this; urllib3 lets some more through
            raise NotToldError(f"{called}: its webhook has no usable address; correct it", is_lasting=True) from exc
        except requests.RequestException as exc:
            raise NoAnswerError(f"{called}: no answer ({type(exc).__name__})", may_have_arrived=True) from exc
        if status >= 300:
            is_lasting = status < 500 and status not in (408, 429)
            advice = "; is the address of its webhook right?" if is_lasting else ""
            raise NotToldError(f"{called}: answered {status}{advice}", is_lasting=is_lasting)


def _mail_server(smtp_url: Secret, timeout: float) -> smtplib.SMTP:
    """Connect and sign in. Raises NotToldError where that would not be safe, OSError or SMTPException."""
    import smtplib
    import ssl

    try:
        url = urlsplit(smtp_url.reveal())
        host, port = url.hostname, url.port
    except ValueError:
        url, host, port = urlsplit(""), None, None
    if url.scheme not in ("smtp", "smtps") or not host:
        advice = "write smtp://user:password@host:587 or smtps://user:password@host"
        raise NotToldError(f"BRIDGE_SMTP_URL: {advice}", is_lasting=True)
    if url.scheme == "smtps":
        checked = ssl.create_default_context()
        client: smtplib.SMTP = smtplib.SMTP_SSL(host, port or 465, timeout=timeout, context=checked)
    else:
        client = smtplib.SMTP(host, port or 587, timeout=timeout)
    try:
        client.ehlo_or_helo_if_needed()
        if url.scheme == "smtp" and host not in LOOPBACK:
            _encrypt(client, has_password=bool(url.username))
        if url.username:
            client.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        client.close()
        raise
    return client


def _encrypt(client: smtplib.SMTP, *, has_password: bool) -> None:
    """Talk encrypted from here on, where the server can; without a password there is no need to know who it is."""
    import ssl

    if client.has_extn("starttls"):
        client.starttls(context=ssl.create_default_context() if has_password else None)
        client.ehlo_or_helo_if_needed()
    elif has_password:
        why = "this server would get the password unencrypted; use smtps://"
        raise NotToldError(f"BRIDGE_SMTP_URL: {why}", is_lasting=True)


def _not_mailed(called: str, exc: OSError, *, is_sending: bool) -> NotToldError:
    """Translate what went wrong with a mail; what the server said is left out, because it repeats addresses."""
    import smtplib

    name, code = type(exc).__name__, getattr(exc, "smtp_code", None)
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        code = next(iter(exc.recipients.values()))[0]
    if isinstance(exc, smtplib.SMTPServerDisconnected) or not isinstance(exc, smtplib.SMTPException):
        return NoAnswerError(f"{called}: the mail server does not answer ({name})", may_have_arrived=is_sending)
    if code is None:  # nothing was refused: the server lacks what it takes
        advice = "is BRIDGE_SMTP_URL right?"
        return NotToldError(f"{called}: the mail server cannot take it ({name}); {advice}", is_lasting=True)
    if not 400 <= code < 600:
        return NoAnswerError(f"{called}: the mail server answers with {code}", may_have_arrived=is_sending)
    advice = "; is the address right, and is BRIDGE_SMTP_URL?" if code >= 500 else ""
    what = f"{called}: the mail server did not take it ({name} {code}){advice}"
    return NotToldError(what, is_lasting=code >= 500)


# ------------------------------------------------------------------ words
def _one_line(text: str) -> str:
    """Return text that fits a header: one line, and not a long one."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_SUBJECT]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}\n(cut here)"


def _host(url: str) -> str:
    """Return the part of an address that may be logged: the path of a webhook is often a secret."""
    with suppress(ValueError):
        return urlsplit(url).hostname or "webhook"
    return "webhook"


def _masked(address: str) -> str:
    """Return enough of an address to recognise it in a log."""
    if not _ADDRESS.fullmatch(address):
        return "an address"
    name, _, host = address.partition("@")
    return f"{name[:2]}...@{host}"
