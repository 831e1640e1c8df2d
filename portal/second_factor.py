"""The second factor: codes that an app makes from a shared secret and the time (RFC 6238), and recovery codes.

While it is set up, the secret is made from a number in the browser's cookie and the portal's own key, so that nothing
has to be kept before it is on, and the cookie alone tells nobody.

Not here: what is kept (`schema/access.py`), how often one may try (`limits.py`), pages (`signin.py`, `pages/`).
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final
from uuid import UUID

import pyotp
import segno

from portal.config import portal

# RFC 6238 section 5.2 recommends it, and apps know nothing else.
STEP_S: Final = 30
# Clocks of telephones are off by some seconds, and typing takes some more.
STEPS_AROUND: Final = (0, -1, 1)
DIGITS: Final = 6
# RFC 4226 section 4, R6.
SECRET_BYTES: Final = 20
NUMBER_BYTES: Final = 16
RECOVERY_CODES: Final = 10
# 80 bits each: nobody finds one by its hash. None of the letters is taken for a digit.
CODE_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
CODE_GROUPS: Final = 4
CODE_GROUP: Final = 4


def new_number() -> str:
    """What a secret is made from, for as long as it is being set up."""
    return secrets.token_urlsafe(NUMBER_BYTES)


def secret_from(number: str, user_id: UUID) -> str:
    """The secret, in base32 as apps take it."""
    key = portal().config.session_key
    made = hmac.digest(key, f"second factor:{user_id}:{number}".encode(), "sha256")[:SECRET_BYTES]
    return base64.b32encode(made).decode("ascii")


def picture(secret: str, login: str, issuer: str) -> str:
    """The secret for an app's camera: a QR code as a data URL of an SVG image."""
    address = pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer)
    drawn: str = segno.make(address, error="m", micro=False).svg_data_uri(scale=5, border=3, light="#fff")
    return drawn


def in_groups(secret: str) -> str:
    """The secret to be typed."""
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))


def step_of(secret: str, typed: str, now_s: float) -> int | None:
    """The time step whose code this is; None where it is none of now."""
    code = "".join(typed.split())
    generator, step = pyotp.TOTP(secret), int(now_s) // STEP_S
    for near in STEPS_AROUND:
        if hmac.compare_digest(generator.at((step + near) * STEP_S).encode(), code.encode("utf-8", "replace")):
            return step + near
    return None


def is_code(typed: str) -> bool:
    """Whether this is a code of an app's, right or wrong, rather than a recovery code."""
    code = "".join(typed.split())
    return code.isdigit() and len(code) == DIGITS


def new_recovery_codes() -> list[str]:
    """`abcd-efgh-jkmn-pqrs`, ten times."""
    return [
        "-".join("".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_GROUP)) for _ in range(CODE_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]


def hash_of(user_id: UUID, recovery_code: str) -> bytes:
    """By what a recovery code of this user is known; blanks, dashes and letter case make no difference."""
    plain = "".join(letter for letter in recovery_code.casefold() if letter not in "- ")
    return hashlib.sha256(f"{user_id}:{plain}".encode("utf-8", "replace")).digest()
