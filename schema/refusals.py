"""Why something is not done, when the reason is what was asked for: a code, the field it is about, and values.

Its text is an English sentence, for commands and logs; pages say it in the reader's language by its code.

Not here: a database that is away (`errors.py`), what somebody may not see (that is not found).
"""

from collections.abc import Mapping
from typing import Final

# A code's sentence. The portal has each of them, too.
SENTENCES: Final[Mapping[str, str]] = {
    "login_taken": "There is a user {login} in {tenant} already. Choose another login.",
    "login_slash": "A login has no slash: people sign in as tenant/login, too.",
    "text_needed": "This must not be empty.",
    "text_refused": "This has 1 to {most} characters, all of them printable.",
    "email_refused": "{email} is no mail address.",
    "phone_taken": "The phone {line} belongs to another user of {tenant}.",
    "phone_there": "There is a phone {line} in {tenant} already.",
    "line_beyond_you": "Nobody whom you manage has the phone {line}. An administrator of the tenant can assign it.",
    "group_unknown": "There is no group {group} in {tenant}.",
    "group_taken": "There is a group {group} in {tenant} already.",
    "group_disabled": "The group {group} is disabled. Enable it first, or choose another one.",
    "group_in_use": "The group {group} has users. Move them to another group first.",
    "user_unknown": "There is no user {login} in {tenant}.",
    "role_unknown": "There is no role {role}.",
    "role_taken": "There is a role {role} already.",
    "role_in_use": "Somebody has the role {role}. Give them another one first.",
    "role_ready_made": "The ready-made roles stay as they are. Make a copy and change that.",
    "beyond_you": "This would give rights that you do not have yourself.",
    "above_you": "This user has rights that you do not have. Only somebody who has them can change this account.",
    "yourself": "You would take your own access away. Another administrator can do that.",
    "managed_unclear": "{name} is a group and a login of {tenant}, so it is not clear whom to manage.",
    "managed_unknown": "There is neither a group nor a login {name} in {tenant}. Add who is in it first.",
    "manages_nobody": "Only a role that reaches managed users manages others.",
    "tenant_taken": "There is a tenant {tenant} already.",
    "tenant_slash": "A tenant's name has no slash: people sign in as tenant/login, too.",
    "tenant_needed": "The default tenant stays: what belongs to nobody else's is in it.",
    "host_taken": "The host name {host} belongs to another tenant.",
    "host_refused": "{host} is no host name.",
    "colour_refused": "{colour} is no colour. Write it as #rrggbb.",
    "logo_refused": "A logo is a PNG, JPEG or WebP picture of at most {most} kB.",
    "language_unknown": "There is no language {language}.",
    "zone_unknown": "There is no time zone {zone}.",
    "mode_unknown": "There is no recording mode {mode}.",
    "limit_refused": "A limit is a whole number of 1 or more; leave it empty for none.",
    "limit_of_users": "{tenant} may have {limit} users and has them. The operator can raise this.",
    "mail_missing": "{login} has no mail address.",
    "provider_taken": "There is an identity provider {name} already.",
    "issuer_refused": "{issuer} is no address of an identity provider: it begins with https:// and has no query.",
    "provider_beyond_you": "Only who has all rights of an administrator may arrange single sign-on: a provider "
    "says who people are.",
    "operators_provider": "An operator of the platform added this provider, so only an operator can change "
    "or delete it.",
    "access_beyond_you": "How this user gets in is for administrators of the whole tenant: login, mail address, "
    "web access, authentication and password.",
    "secret_of_another": "The secret belongs to the provider that was here before. Enter the one of the new provider.",
    "authentication_unknown": "There is no way to sign in called {authentication}.",
    "address_refused": "{address} is no address of a web page. Write it as https://name.",
    "characters_refused": "A password can be asked to have {least} to {most} characters at least.",
    "port_refused": "A port is a whole number of 1 to 65535.",
    "security_unknown": "There is no way to secure mail called {security}.",
    "column_unknown": "There is no column {column}.",
    "column_needed": "The column {column} is missing: it says what each line is about.",
    "twice_in_file": "{name} is in this file more than once.",
    "changed_meanwhile": "Somebody else changed this meanwhile, so nothing was written. Look at it again.",
    "value_unclear": "{value} is neither yes nor no.",
}


class Refusal(Exception):
    """Nothing was changed. `field`: the field of a form that it is about, empty where it is none."""

    def __init__(self, code: str, field: str = "", **values: object) -> None:
        self.code = code
        self.field = field
        self.values = values
        super().__init__(SENTENCES[code].format(**values))


class NotThere(Exception):
    """What was to be changed is not there, or is not to be seen by whoever asks: nobody is told which."""
