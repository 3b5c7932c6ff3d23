"""How news leave the machine: a webhook, a mail server, a dead-man's switch. One try each, with a timeout.

Addresses that are secret come in `Secrets` and go out over the wire; no error, log or file ever contains one.
"""

import json
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

from pipeline.catalogue.transport import run_with_deadline
from pipeline.model.errors import GroundbreakError, SettingsError
from pipeline.model.settings import Notify
from pipeline.notify.mail import Bulletin, as_html, as_text, collect_pictures, write_subject
from pipeline.notify.messages import as_chat, as_json

TIMEOUT_S = 20.0
"""Seconds between two pieces of an answer."""
DEADLINE_S = 120.0
"""Seconds for one message as a whole: a server that sends a byte now and then must not keep the night open."""
FIX = "it is tried again the next night"


class UndeliveredError(GroundbreakError):
    """A message that a channel did not take. down: the channel itself fails, so no other message would pass."""

    def __init__(self, what: str, where: str, *, down: bool) -> None:
        super().__init__(what, where, FIX)
        self.down = down


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What only the environment holds; never shown. errors: addresses that are not used, by name of their variable."""

    webhook_url: str = field(default="", repr=False)
    smtp_password: str = field(default="", repr=False)
    ping_url: str = field(default="", repr=False)
    errors: tuple[SettingsError, ...] = ()


class Channel(Protocol):
    """A channel that delivers messages. is_nightly: one message has the news of all sites; else one for each site."""

    name: str
    is_nightly: bool

    def send(self, bulletin: Bulletin) -> None:
        """Deliver the message, or raise UndeliveredError."""

    def alarm(self, subject: str, lines: Sequence[str], key: str) -> None:
        """Send the operator a message that is about no change, or raise UndeliveredError."""


def read_secrets(environment: Mapping[str, str] = os.environ) -> Secrets:
    """The secrets of this process; an address of another kind is an error, and does not affect the other channels."""
    urls, errors = dict[str, str](), list[SettingsError]()
    for name in ("webhook_url", "ping_url"):
        variable = f"GROUNDBREAK_{name.upper()}"
        urls[name] = environment.get(variable, "").strip()
        if urls[name] and not _is_web(urls[name]):
            fix = "fix it in the environment, or unset it"
            errors.append(SettingsError("is no http or https address", variable, fix))
            urls[name] = ""
    password = environment.get("GROUNDBREAK_SMTP_PASSWORD", "")
    return Secrets(smtp_password=password, errors=tuple(errors), **urls)


def open_channels(settings: Notify, secrets: Secrets) -> tuple[tuple[Channel, ...], tuple[SettingsError, ...]]:
    """The channels that are set up, and an error for each secret or channel that cannot be used.

    No mail is sent where the password would travel in the open.
    """
    made, errors = list[Channel](), list(secrets.errors)
    if secrets.webhook_url:
        made.append(Webhook(settings, secrets.webhook_url))
    if settings.mail_to:
        local = settings.smtp_host in ("localhost", "127.0.0.1", "::1")
        if settings.smtp_user and settings.smtp_security == "none" and not local:
            fix = 'set notify.smtp_security to "starttls" or "tls"'
            errors.append(SettingsError("the password would travel in the open", "notify.smtp_security", fix))
        else:
            made.append(Mail(settings, secrets.smtp_password))
    return tuple(made), tuple(errors)


class Webhook:
    """POST of JSON. The key of the message goes along, so that a receiver can drop a repetition."""

    name = "webhook"
    is_nightly = False

    def __init__(self, settings: Notify, url: str) -> None:
        self._settings, self._url = settings, url

    def send(self, bulletin: Bulletin) -> None:
        """Raises UndeliveredError unless each answer is 2xx."""
        form = as_chat if self._settings.webhook == "slack" else as_json
        for message in bulletin.messages:
            self._post(form(message, self._settings.base_url), message.key)

    def alarm(self, subject: str, lines: Sequence[str], key: str) -> None:
        """Raises UndeliveredError unless the answer is 2xx."""
        text = "\n".join([subject, *lines])
        plain = {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
        self._post(plain if self._settings.webhook == "slack" else {"key": key, "text": subject, "sites": lines}, key)

    def _post(self, document: Mapping[str, object], key: str) -> None:
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": key}
        _post_body(self.name, self._url, body, headers)


class Mail:
    """One mail a night by SMTP, with timeline pictures of its new structures in the text."""

    name = "mail"
    is_nightly = True

    def __init__(self, settings: Notify, password: str) -> None:
        self._settings, self._password = settings, password

    def send(self, bulletin: Bulletin) -> None:
        """Raises UndeliveredError unless the server took the mail for at least one address."""
        self._deliver(partial(_bulletin_mail, bulletin, self._settings))

    def alarm(self, subject: str, lines: Sequence[str], key: str) -> None:
        """Raises UndeliveredError unless the server took the mail for at least one address."""

        def written() -> EmailMessage:
            mail = _make_mail(subject, key, self._settings)
            mail.set_content("\n".join([*lines, ""]))
            return mail

        self._deliver(written)

    def _deliver(self, write: Callable[[], EmailMessage]) -> None:
        try:
            mail = write()
            run_with_deadline(DEADLINE_S, lambda: self._hand_over(mail))
        except (smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as error:
            raise UndeliveredError(f"the mail was refused: {_error_type(error)}", self.name, down=False) from None
        except OSError as error:
            # all exceptions of smtplib and ssl are OSErrors; one about a certificate is a ValueError too
            raise UndeliveredError(f"the mail server fails: {_error_type(error)}", self.name, down=True) from None
        except ValueError as error:
            raise UndeliveredError(f"the mail cannot be written: {_error_type(error)}", self.name, down=False) from None

    def _hand_over(self, mail: EmailMessage) -> None:
        server = self._connected()
        try:
            server.send_message(mail)
        finally:
            # the mail is taken or refused by now: how the server says goodbye changes nothing
            with suppress(OSError):
                server.quit()
            server.close()

    def _connected(self) -> smtplib.SMTP:
        ours = self._settings
        if ours.smtp_security == "tls":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                ours.smtp_host, ours.smtp_port, timeout=TIMEOUT_S, context=context, local_hostname="groundbreak"
            )
        else:
            server = smtplib.SMTP(ours.smtp_host, ours.smtp_port, timeout=TIMEOUT_S, local_hostname="groundbreak")
        try:
            if ours.smtp_security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if ours.smtp_user:
                server.login(ours.smtp_user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def ping_monitor(url: str) -> None:
    """Ping the dead-man's switch after a successful night. Raises UndeliveredError."""
    _post_body("ping", url, None, {})


def _make_mail(subject: str, key: str, settings: Notify) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = " ".join(subject.split())
    mail["From"], mail["To"] = settings.mail_from, ", ".join(settings.mail_to)
    mail["Message-ID"] = f"<{key[:40]}@groundbreak.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Date"] = format_datetime(datetime.now(UTC))
    return mail


def _bulletin_mail(bulletin: Bulletin, settings: Notify) -> EmailMessage:
    mail = _make_mail(write_subject(bulletin), bulletin.key, settings)
    mail.set_content(as_text(bulletin, settings.base_url))
    files = collect_pictures(bulletin)
    mail.add_alternative(as_html(bulletin, settings.base_url, frozenset(files)), subtype="html")
    page = next(part for part in mail.iter_parts() if part.get_content_subtype() == "html")
    for name, file in files.items():
        page.add_related(
            file.read_bytes(), maintype="image", subtype="png", cid=f"<{name}>", filename=file.name,
            disposition="inline",
        )  # fmt: skip
    return mail


class _Straight(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as an empty GET, and a secret address elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post_body(name: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> None:
    request = urllib.request.Request(url, body, {"User-Agent": "groundbreak", **headers})
    try:
        run_with_deadline(DEADLINE_S, lambda: _open_request(request))
    except urllib.error.HTTPError as error:
        error.close()
        raise UndeliveredError(f"answered {error.code}", name, down=error.code not in (400, 413, 422)) from None
    except (OSError, HTTPException, ValueError) as error:
        # neither the address nor the whole reason is said: both may hold the secret
        raise UndeliveredError(f"does not answer: {_error_type(error)}", name, down=True) from None


def _open_request(request: urllib.request.Request) -> None:
    with urllib.request.build_opener(_Straight).open(request, timeout=TIMEOUT_S):
        return


def _error_type(error: Exception) -> str:
    """Type of the error, without text of the server."""
    inner = getattr(error, "reason", None)
    reason = inner if isinstance(inner, Exception) else error
    code = getattr(error, "smtp_code", None)
    if code is not None:
        return f"{type(error).__name__} {code}"
    number = reason.errno if isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError) else None
    return os.strerror(number) if number and number > 0 else type(reason).__name__


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
