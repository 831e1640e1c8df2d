"""Who calls whom in the demo, and what they say. Nobody here exists: numbers and names are made up.

Not here: how it sounds (speech.py), and how it is dialled (calls.py).
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Side: TypeAlias = Literal["caller", "callee"]
# What the phone system of the demo does between two lines.
Cue: TypeAlias = Literal["pause", "resume"]


@dataclass(frozen=True, slots=True)
class Line:
    """What one side says before the other goes on."""

    side: Side
    text: str


@dataclass(frozen=True, slots=True)
class Person:
    """A party of a call. `voice` is one of espeak-ng's, with a variant; `pace` is words a minute."""

    number: str
    name: str
    voice: str
    pace: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A call. `lasts_s` is 0 where it ends with its last line; else the dialogue goes round until then."""

    name: str
    caller: Person
    callee: Person
    script: tuple[Line | Cue, ...]
    lasts_s: float = 0.0


def _caller(text: str) -> Line:
    return Line("caller", text)


def _callee(text: str) -> Line:
    return Line("callee", text)


ULLAS_PHONES: Final = ("2001", "2002")

# Numbers from 555-0100 on are given to nobody.
_MARTA: Final = Person("+12125550143", "Marta Quill", "en-us+f3", 172)
_OWEN: Final = Person("+13125550178", "Owen Tarrant", "en-us+m3", 168)
_DORA: Final = Person("+14155550126", "Dora Linden", "en-us+f2", 165)
_ULLA: Final = Person(ULLAS_PHONES[0], "Ulla Berg", "en+f4", 170)
_ULLA_TOO: Final = Person(ULLAS_PHONES[1], "Ulla Berg", "en+f4", 170)
_RECEPTION: Final = Person("2100", "Reception", "en+m7", 165)

# The phone is nobody's in particular, so that administrators alone see this call.
APPOINTMENT: Final = Dialogue(
    "an appointment is moved",
    _MARTA,
    _RECEPTION,
    (
        _callee("Good morning, Harbour Dental, reception. How can I help?"),
        _caller("Hello, this is Marta Quill. I have an appointment on Thursday at ten, and I need to move it."),
        _callee("No problem. I see it here. Would Friday at half past two suit you?"),
        _caller("Friday is difficult. Do you have anything on Monday?"),
        _callee("Monday at nine fifteen is free."),
        _caller("That is perfect, thank you."),
        _callee("Then I have moved you to Monday, nine fifteen. You will get a message to confirm it."),
        _caller("Great. Good bye."),
        _callee("Good bye."),
    ),
)

# The card's number is said while the phone system holds the recording paused: the recorder hears it and keeps nothing.
COMPLAINT: Final = Dialogue(
    "a complaint, and a card number that is not recorded",
    _OWEN,
    _ULLA,
    (
        _callee("Northwind Parcels, Ulla speaking."),
        _caller("Hi. You charged me twice for order four seven one one, and I would like that money back."),
        _callee("I am sorry about that. I can refund it at once. I need your card number for it."),
        _callee("I will pause the recording now, so that it is not kept."),
        "pause",
        _caller("It is four zero zero zero, one two three four, five six seven eight, nine zero one zero."),
        _callee("Thank you, I have it."),
        "resume",
        _callee("The recording goes on. Your refund is on its way, it takes two to three days."),
        _caller("That was quick. Thanks for your help."),
        _callee("You are welcome. Have a good day."),
    ),
)

SUPPORT: Final = Dialogue(
    "a parcel that does not arrive",
    _DORA,
    _ULLA_TOO,
    (
        _callee("Northwind Parcels, Ulla speaking. How can I help you?"),
        _caller("Hello, my name is Dora Linden. I am waiting for a parcel that should have come on Tuesday."),
        _callee("Let me look. Do you have the number of the shipment?"),
        _caller("Yes. It is N P, eight eight two, four one six."),
        _callee("Thank you. One moment, please. It left our depot on Monday, but the driver found nobody at home."),
        _caller("That is odd. I was at home all day, and the bell works."),
        _callee("I understand. Perhaps he was at the wrong door. Which floor do you live on?"),
        _caller("The third, on the left. The name is on the bell."),
        _callee("I have added that to the address. Shall he come again tomorrow, or would you rather pick it up?"),
        _caller("Where would I have to go?"),
        _callee("There is a shop in Mill Street, number twelve. It is open until eight in the evening."),
        _caller("That is around the corner. When would it be there?"),
        _callee("From tomorrow at noon. You get a message with a code, and you show the code at the counter."),
        _caller("Good. Can my neighbour pick it up for me, if I give her the code?"),
        _callee("Yes, the code is enough. They do not ask for anything else."),
        _caller("Wonderful. And one more thing. I have a second shipment, from the same shop."),
        _callee("Of course. Give me its number, and I will look that up as well."),
        _caller("I have to find it. It must be in my messages somewhere."),
        _callee("Take your time, there is no hurry."),
    ),
    lasts_s=300.0,
)

DIALOGUES: Final = (SUPPORT, COMPLAINT, APPOINTMENT)
