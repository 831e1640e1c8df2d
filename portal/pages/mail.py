"""Mail: the settings of the mail server, a test that sends at once, and the queue with what became of each message.

Not here: what mails say (`portal/mails.py`), how they are sent (`archive/smtp.py`), the queue itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from quart import Blueprint, abort, flash, redirect, render_template, request, url_for
from quart_babel import gettext

from archive.smtp import Undelivered, deliver, letter
from portal import gate, mails
from portal.forms import Form, filled, submitted
from portal.pages import lists, owners, paging, stale
from schema import checked, platform
from schema import mails as queue
from schema.checked import MOST_CHARACTERS
from schema.columns import new_id
from schema.mails import MailKind, MailState, Trouble
from schema.profiles import MailFields
from schema.refusals import Refusal
from schema.sealing import NotReadable

log = structlog.get_logger()

MOST_PORT: Final = 65_535
MOST_PASSWORD: Final = 1024
DEFAULT_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}

blueprint: Final = Blueprint("mail", __name__, url_prefix="/administration/mail")


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a test: `sentence` is empty where the mail server took it."""

    to: str
    sentence: str = ""
    words: str = ""


@blueprint.route("", methods=["GET", "POST"])
async def index() -> Any:
    """Settings and queue; what is posted are the settings."""
    stored = await platform.mail_fields()
    if request.method == "GET":
        return await _page(_filled(stored))
    form = await submitted()
    fields = _read(form)
    if not stale.check(form, stored):
        return await _page(form, differences=_differences(stored, fields)), stale.CONFLICT
    if form.ok:
        try:
            await platform.set_mail(gate.by(), fields)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            await queue.all_due(gate.scope())
            await flash(gettext("Saved. Send a test to see that the settings work."))
            return redirect(url_for("mail.index"), 303)
    return await _page(form), 422


@blueprint.post("/test")
async def test() -> Any:
    """Sends a mail to an address at once, past the queue, and tells what the mail server said."""
    form = await submitted()
    to = form.text("to", most=MOST_CHARACTERS, required=True)
    try:
        to = checked.email(to, "to")
    except Refusal as refusal:
        form.refuse(refusal)
    settings = _filled(await platform.mail_fields())
    if not form.ok:
        return await _page(settings, test=form), 422
    mail = await mails.trial_mail(gate.account(), to)
    try:
        server = await queue.smtp_server()
        if not server.usable:
            raise Undelivered(Trouble.NO_SERVER)
        await deliver(server, letter(server, mail, new_id()))
    except NotReadable:
        trial = Trial(to, SENTENCES[Trouble.NO_PASSWORD]())
    except Undelivered as undelivered:
        failure = undelivered.failure
        log.warning("mail_test_failed", trouble=str(failure.trouble), words=failure.words)
        trial = Trial(to, SENTENCES[failure.trouble](), failure.words)
    else:
        trial = Trial(to)
    return await _page(settings, test=form, trial=trial), 422 if trial.sentence else 200


@blueprint.post("/<uuid:mail_id>/retry")
async def retry(mail_id: UUID) -> Any:
    """Lets a mail that failed or waits be tried at once."""
    await queue.retry(gate.by(), mail_id)
    await flash(gettext("The mail is tried again now. Load this page again in a moment to see what became of it."))
    return redirect(url_for("mail.index", state=_state() or None), 303)


async def _page(
    form: Form,
    *,
    test: Form | None = None,
    trial: Trial | None = None,
    differences: Sequence[stale.Difference] = (),
) -> str:
    here, state = paging.at_hand(), _state()
    scope = gate.scope()
    wanted = MailState(state) if state else None
    found = await lists.asked(queue.list_mails(scope, state=wanted, limit=lists.ROWS, cursor=here.cursor))
    older, newer = here.links("mail.index", len(found.items), found.next, state=state)
    return await render_template(
        "mail/index.html",
        f=form,
        t=test or filled(to=gate.account().email),
        trial=trial,
        differences=differences,
        has_password=await _has_password(),
        securities=list(_securities().items()),
        # What holds for all tenants is not changed by who looks at one.
        may_change=owners.across_tenants(),
        mails=found.items,
        counts=await queue.count_mails(scope),
        state=state,
        states=[("", gettext("All messages")), *((str(each), told()) for each, told in STATES.items())],
        state_words={each: told() for each, told in STATES.items()},
        kinds={kind: told() for kind, told in KINDS.items()},
        sentences={trouble: told() for trouble, told in SENTENCES.items()},
        older=older,
        newer=newer,
    )


def _state() -> str:
    """The state that the address asks for, if it does."""
    given = request.args.get("state", "")
    return given if given in ("", *MailState) else abort(404)


async def _has_password() -> bool:
    try:
        return bool((await queue.smtp_server()).password)
    except NotReadable:
        return False


def _filled(fields: MailFields) -> Form:
    form = filled(
        host=fields.host,
        port=fields.port,
        security=fields.security,
        user=fields.user,
        sender=fields.sender,
        sender_name=fields.sender_name,
    )
    form.values[stale.FIELD] = [stale.version(fields)]
    return form


def _read(form: Form) -> MailFields:
    security: Any = form.choice("security", list(_securities()))
    port = form.number("port", least=1, most=MOST_PORT)
    return MailFields(
        host=form.text("host", most=MOST_CHARACTERS),
        port=DEFAULT_PORTS.get(security, 0) if port is None else port,
        security=security,
        user=form.text("user", most=MOST_CHARACTERS),
        password=form.secret("password", most=MOST_PASSWORD) or None,
        sender=form.text("sender", most=MOST_CHARACTERS),
        sender_name=form.text("sender_name", most=MOST_CHARACTERS),
    )


def _differences(stored: MailFields, given: MailFields) -> list[stale.Difference]:
    securities = _securities()
    return stale.differences(
        (
            (gettext("Mail server"), stored.host, given.host),
            (gettext("Port"), str(stored.port), str(given.port)),
            (gettext("Encryption"), securities[stored.security], securities.get(given.security, "")),
            (gettext("User"), stored.user, given.user),
            (gettext("Sender's address"), stored.sender, given.sender),
            (gettext("Sender's name"), stored.sender_name, given.sender_name),
        )
    )


def _securities() -> dict[str, str]:
    return {
        "starttls": gettext("STARTTLS (usually port 587)"),
        "tls": gettext("TLS from the first byte (usually port 465)"),
        "none": gettext("None: everything can be read on the way (usually port 25)"),
    }


STATES: Final[Mapping[MailState, Callable[[], str]]] = {
    MailState.WAITING: lambda: gettext("Waits"),
    MailState.SENDING: lambda: gettext("Is being sent"),
    MailState.SENT: lambda: gettext("Sent"),
    MailState.FAILED: lambda: gettext("Failed"),
}

KINDS: Final[Mapping[MailKind, Callable[[], str]]] = {
    MailKind.INVITATION: lambda: gettext("Invitation"),
    MailKind.RESET: lambda: gettext("New password"),
    MailKind.PASSWORD_CHANGED: lambda: gettext("Password changed"),
    MailKind.SECOND_FACTOR_OFF: lambda: gettext("Second factor turned off"),
    MailKind.TEST: lambda: gettext("Test"),
}

SENTENCES: Final[Mapping[Trouble, Callable[[], str]]] = {
    Trouble.NO_SERVER: lambda: gettext("No mail server is set. Enter its name and the sender's address above."),
    Trouble.UNKNOWN_HOST: lambda: gettext("There is no mail server of this name. Check how it is written."),
    Trouble.UNREACHABLE: lambda: gettext(
        "The mail server cannot be reached. Check its name and port, and that a firewall lets this server through."
    ),
    Trouble.SLOW: lambda: gettext(
        "The mail server did not answer in time. Check the port: one that wants TLS from the first byte is silent "
        "with any other encryption."
    ),
    Trouble.CLOSED: lambda: gettext("The mail server ended the conversation. It may not want mail from this server."),
    Trouble.NO_TLS: lambda: gettext("The mail server does not offer STARTTLS. Choose another encryption, or port."),
    Trouble.TLS: lambda: gettext(
        "The connection could not be encrypted. Check that encryption and port belong together, and that the mail "
        "server's certificate is valid for its name."
    ),
    Trouble.LOGIN: lambda: gettext("The mail server refused user and password."),
    Trouble.SENDER: lambda: gettext("The mail server does not accept the sender's address."),
    Trouble.RECIPIENT: lambda: gettext("The mail server does not accept the recipient's address."),
    Trouble.CONTENT: lambda: gettext("The mail server did not accept the mail."),
    Trouble.GARBLED: lambda: gettext("What answers there is no mail server. Check name and port."),
    Trouble.EXPIRED: lambda: gettext("The link in it was no longer valid, so it was not sent. Send a new one."),
    Trouble.UNREADABLE: lambda: gettext(
        "It was written under another master key and cannot be read any more. Send a new one."
    ),
    Trouble.NO_PASSWORD: lambda: gettext(
        "The stored password was kept under another master key and cannot be read any more. Enter it again."
    ),
}
