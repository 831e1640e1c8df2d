"""Somebody at a desk who fills in forms as a browser does: what a page's form holds goes back, save what he changes.

No test lives here. A form is the one of the page that posts to the page itself; buttons post where they say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from quart import Response
from quart_trio import QuartTrio
from werkzeug.datastructures import FileStorage

from schema.roles import Role
from tests.portal.visitor import Visitor, add_account

Values = dict[str, list[str]]


class _Form(HTMLParser):
    """The values of the form that posts to its own page."""

    def __init__(self) -> None:
        super().__init__()
        self.values: Values = {}
        self._inside = False
        self._select = ""
        self._first: str | None = None
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self._inside = given.get("method") == "post" and "action" not in given
        if not self._inside or "disabled" in given:
            return
        if tag == "input" and name:
            kind = given.get("type", "text")
            if kind in ("checkbox", "radio") and "checked" not in given:
                return
            if kind != "file":
                self._add(name, "on" if kind == "checkbox" and "value" not in given else value)
        elif tag == "textarea":
            self._area = name
            self._add(name, "")
        elif tag == "select":
            self._select, self._first = name, None
        elif tag == "option" and self._select:
            self._first = value if self._first is None else self._first
            if "selected" in given:
                self._add(self._select, value)

    def handle_data(self, data: str) -> None:
        if self._area:
            # HTML drops a line break that stands first.
            self.values[self._area][-1] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea":
            self._area = ""
        elif tag == "select":
            if self._select not in self.values and self._first is not None:
                self._add(self._select, self._first)
            self._select = ""

    def _add(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `text` is its body, `location` where it leads."""

    status: int
    text: str
    location: str

    @property
    def words(self) -> str:
        """The visible text of the page, roughly: without tags, spaces made one."""
        return words(self.text)


@dataclass
class Desk:
    """A browser that is signed in."""

    visitor: Visitor

    async def get(self, path: str) -> Answer:
        return await _answer(await self.visitor.get(path))

    async def page(self, path: str) -> str:
        """A page that is there."""
        answer = await self.get(path)
        assert answer.status == 200, (path, answer.status, answer.words)
        return answer.text

    async def words(self, path: str) -> str:
        return words(await self.page(path))

    async def form(self, path: str) -> Values:
        """What the page's form holds as it is opened."""
        return form_of(await self.page(path))

    async def send(self, path: str, values: Mapping[str, Sequence[str]], **changes: str | list[str] | None) -> Answer:
        """Posts a form; None leaves a field out."""
        merged = {**values, **{name: [new] if isinstance(new, str) else new for name, new in changes.items()}}
        pairs = [(name, one) for name, many in merged.items() if many is not None for one in many]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await _answer(await self._post(path, data=urlencode(pairs), headers=headers))

    async def fill(self, path: str, **changes: str | list[str] | None) -> Answer:
        """Opens the form, changes some of it and sends it."""
        return await self.send(path, await self.form(path), **changes)

    async def upload(self, path: str, file: Mapping[str, FileStorage], **changes: str) -> Answer:
        """The same with files."""
        values = {name: many[0] for name, many in (await self.form(path)).items()} | changes
        return await _answer(await self._post(path, form=values, files=dict(file)))

    async def press(self, path: str, **fields: str) -> Answer:
        """Presses a button that posts."""
        token = await self.visitor.token("/nowhere")
        return await _answer(await self.visitor.post(path, {"csrf_token": token, **fields}))

    async def _post(self, path: str, **options: Any) -> Response:
        return await self.visitor.client.post(path, scope_base={"client": ("192.0.2.7", 40000)}, **options)


async def desk_of(app: QuartTrio, login: str, role: Role, **options: Any) -> Desk:
    """Makes an account and signs it in."""
    await add_account(login, role, **options)
    return await signed_in(app, login)


async def signed_in(app: QuartTrio, login: str) -> Desk:
    visitor = Visitor(app)
    assert (await visitor.sign_in(login)).status_code == 303
    return Desk(visitor)


def form_of(page: str) -> Values:
    parser = _Form()
    parser.feed(page)
    return parser.values


def words(page: str) -> str:
    """What a page says, without what is around every page."""
    parser = _Words()
    parser.feed(page.partition("<main")[2].partition("</main>")[0])
    return " ".join(" ".join(parser.said).split())


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.said.append(data)


async def _answer(response: Response) -> Answer:
    body = await response.get_data(as_text=True) if response.mimetype.startswith("text/") else ""
    return Answer(response.status_code, str(body), response.headers.get("Location", ""))
