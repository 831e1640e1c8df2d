"""An XML document as phone systems write it: elements by local name, each with the text that it was read from.

A document type, and with it every entity of its own making, is refused. Prefixes that nobody declared, white space
around the document, a wrong encoding and characters that should have been escaped are not: phone systems do all that.
Nothing here knows what the elements mean.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.saxutils import quoteattr
from xml.sax.xmlreader import AttributesImpl, InputSource, Locator

from defusedxml.common import DefusedXmlException
from defusedxml.sax import make_parser

from engine.errors import RemoteProtocolError

MAX_DOCUMENT_BYTES = 64 * 1024
"""What one SIP message may hold at most. Reading a hostile document of this size takes about 0.1 s."""

MAX_DEPTH = 64
"""Metadata nests five deep, vendors' data some more."""

_PADDING = "\x00 \t\r\n\ufeff"
_LINE_END = re.compile(r"\r\n|\n|\r")
_TAG = re.compile(r"<(?:[^>\"']++|\"[^\"]*\"|'[^']*')*+>")
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_BARE_LESS_THAN = re.compile(r"<(?=sips?:|tel:|[^A-Za-z_/!?:])")
_USED_PREFIX = re.compile(r"[<\s/]([A-Za-z_][\w.\-]*):[A-Za-z_]")
_UNPREFIXED_TAG = re.compile(r"<[A-Za-z_][\w.\-]*[\s/>]")


@dataclass(slots=True)
class Element:
    """An element: its name without prefix, its attributes by local name in lower case, its own text (stripped).

    `prefixes` are those that it declares itself; `start` and `end` say where in `document` it stands.
    """

    name: str
    namespace: str
    parent: "Element | None"
    attributes: dict[str, str]
    prefixes: dict[str, str]
    document: str
    start: int
    end: int = 0
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    @property
    def source(self) -> str:
        """The element word for word, from its first tag to its last."""
        return self.document[self.start : self.end]

    @property
    def key(self) -> str:
        """The local name in lower case: dialects differ in the case of theirs."""
        return self.name.lower()

    def walk(self) -> Iterator["Element"]:
        """Yield the element and all below it, in the order of the document."""
        yield self
        for child in self.children:
            yield from child.walk()

    def first_attribute(self, *names: str) -> str:
        """Return the first of these attributes that is there and not empty, stripped; else ""."""
        return next((value for name in names if (value := self.attributes.get(name, "").strip())), "")

    def resolve(self, prefix: str) -> str | None:
        """Return the namespace that a prefix ("" for the default) stands for here, None where nobody declared it."""
        element: Element | None = self
        while element is not None:
            if prefix in element.prefixes:
                return element.prefixes[prefix]
            element = element.parent
        return None

    def standalone(self) -> str:
        """Return the source word for word, with the declarations that it inherits added to its first tag."""
        source = self.source
        wanted = {prefix for prefix in _USED_PREFIX.findall(source) if self.resolve(prefix) is not None}
        if _UNPREFIXED_TAG.search(source):
            wanted.add("")
        added = "".join(
            f" xmlns{':' if prefix else ''}{prefix}={quoteattr(self.resolve(prefix) or '')}"
            for prefix in sorted(wanted - self.prefixes.keys())
        )
        name = re.match(r"<[^\s/>]+", source)
        end = name.end() if name else 0
        return source[:end] + added + source[end:]


def parse(document: bytes) -> Element:
    """Read a document and return its root.

    Errors: RemoteProtocolError where it is too large or too deep, declares a document type, or is no XML even after
    the characters that should have been escaped are.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise RemoteProtocolError(f"The XML document has more than {MAX_DOCUMENT_BYTES} bytes.", status=413)
    text = _decode(document).strip(_PADDING)
    with contextlib.suppress(SAXException):
        return _parse_text(text)
    try:
        return _parse_text(_BARE_LESS_THAN.sub("&lt;", _BARE_AMPERSAND.sub("&amp;", text)))
    except SAXException as error:
        raise RemoteProtocolError(f"The XML document cannot be read: {error.getMessage()}.") from error


def _decode(document: bytes) -> str:
    """Decode by what the bytes are, since what the declaration says is often wrong."""
    if document[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return document.decode("utf-16", "replace")
    try:
        return document.decode("utf-8")
    except UnicodeDecodeError:
        return document.decode("latin-1")


def _parse_text(text: str) -> Element:
    """Errors: SAXException where the text is no XML, RemoteProtocolError where it is XML that we refuse."""
    reader = make_parser()
    reader.forbid_dtd = True
    tree = _Tree(text)
    reader.setContentHandler(tree)
    source = InputSource()
    source.setCharacterStream(StringIO(text))
    try:
        reader.parse(source)
    except DefusedXmlException as error:
        raise RemoteProtocolError("The XML document declares a document type or an entity.") from error
    if tree.root is None:
        raise SAXException("no element")
    return tree.root


class _Tree(ContentHandler):
    """Builds the elements while the document is read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root: Element | None = None
        self._text = text
        self._line_starts = [0, *(found.end() for found in _LINE_END.finditer(text))]
        self._locator: Locator | None = None
        self._open: list[Element] = []
        self._said: list[list[str]] = []

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: "AttributesImpl[str]") -> None:
        if len(self._open) == MAX_DEPTH:
            raise RemoteProtocolError(f"The XML document nests more than {MAX_DEPTH} elements.")
        prefixes: dict[str, str] = {}
        attributes: dict[str, str] = {}
        for key, value in attrs.items():
            prefix, _, local = key.rpartition(":")
            if prefix == "xmlns" or key == "xmlns":
                prefixes[local if prefix else ""] = value
            else:
                attributes.setdefault(local.lower(), value)
        prefix, _, local = name.rpartition(":")
        parent = self._open[-1] if self._open else None
        element = Element(local, "", parent, attributes, prefixes, self._text, self._position())
        element.namespace = element.resolve(prefix) or ""
        if parent is None:
            self.root = element
        else:
            parent.children.append(element)
        self._open.append(element)
        self._said.append([])

    def characters(self, content: str) -> None:
        if self._said:
            self._said[-1].append(content)

    def endElement(self, name: str) -> None:
        element = self._open.pop()
        element.text = "".join(self._said.pop()).strip()
        tag = _TAG.match(self._text, element.start)
        tag_end = tag.end() if tag else element.start
        closed_by_itself = self._text[tag_end - 2 : tag_end] == "/>"
        element.end = tag_end if closed_by_itself else self._text.find(">", self._position()) + 1

    def _position(self) -> int:
        """Return where in the text the reader stands: at the tag that begins or ends the element."""
        line = self._locator.getLineNumber() if self._locator else None
        column = self._locator.getColumnNumber() if self._locator else None
        return self._line_starts[(line or 1) - 1] + (column or 0)
