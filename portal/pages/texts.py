"""What scripts say to people: a page hands them over as a JSON block, in the reader's language.

`{words}` are the scripts' to fill in. A test holds this and the scripts together.

Not here: what templates say.
"""

from quart_babel import gettext


def of_requests() -> dict[str, str]:
    """For every page: whose scripts ask the server for something (`requests.js`)."""
    return {
        "no_answer": gettext("The server did not answer. Check your connection, and try again."),
        "signed_out": gettext("You were signed out."),
        "refused": gettext("The server refused this (status {status}). Nothing was changed."),
    }


def of_call() -> dict[str, str]:
    """For the page of a call: its live card, its listener, its player."""
    return of_requests() | {
        "paused_since": gettext("Paused at {position} by {by}."),
        "phone_system": gettext("the phone system"),
        "somebody": gettext("somebody"),
        "is_paused": gettext("The recording is paused."),
        "is_recording": gettext("The call is being recorded."),
        "connecting": gettext("Connecting …"),
        "delay": gettext("Delay {ms} ms"),
        "dropped": gettext("{frames} frames were left out to keep up"),
        "no_sound_now": gettext("No sound now"),
        "listen_again": gettext("The connection was lost; trying again …"),
        "listen_lost": gettext("The connection was lost. The recording goes on. Press Listen to try again."),
        "listen_silent": gettext("The recorder does not answer. Press Listen to try again in a moment."),
        "listen_not_permitted": gettext("Your role does not permit listening to this call."),
        "listen_no_call": gettext("This call is not there any more."),
        "listen_signed_out": gettext("You were signed out. Load this page again to sign in."),
        "listen_no_audio": gettext("This browser cannot play live audio: {reason}"),
        "play": gettext("Play"),
        "paused": gettext("Paused"),
        "pause_playing": gettext("Pause"),
        "audio_failed": gettext("The recording could not be loaded. It is not lost; load this page again."),
    }
