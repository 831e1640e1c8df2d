"""A user plays a finished recording: it starts, moves, seeks, changes its speed, and can be taken along."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Window
from tests.browser.house import CALLEE_HZ, CALLER_HZ, House, Ring
from tests.end_to_end.audio import decode, loudest_hz

SECONDS = 8.0
CALLER = "15552020202"
# The middle pixel column of each waveform's canvas: how many of them bear its colour.
DRAWN = """(root) => [...root.querySelector(".player-wave > div").shadowRoot.querySelectorAll(".canvases canvas")].map(
  (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter(
    (alpha, at) => at % 4 === 3 && alpha > 0).length)"""


@pytest.fixture(scope="module")
def call(house: House) -> None:
    """A call with a pause of two seconds in it, by the phone system."""
    house.hold(Ring(caller=CALLER, caller_name="Veta Pospisil", seconds=SECONDS, options=("--pause", "3-5")))


@pytest.fixture
def page(call: None, window: Window) -> Page:
    page = window(as_="ulla")
    page.locator("[data-row]", has_text=CALLER).locator("[data-open]").click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    return page


def position(page: Page) -> float:
    return float(page.evaluate("document.querySelector('audio').currentTime"))


def test_it_plays_and_the_position_moves(page: Page) -> None:
    expect(page.locator("[data-part=time]")).to_have_text("0:00")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator("[data-part=time]")).to_have_text("0:02")
    assert position(page) >= 2
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator("[data-player]")).to_have_attribute("data-playing", "false")
    stopped = position(page)
    page.get_by_role("button", name="Forward five seconds").click()
    expect(page.locator("[data-part=time]")).to_have_text(f"0:0{int(stopped + 5)}")
    assert position(page) == pytest.approx(stopped + 5, abs=0.1)


def test_both_sides_are_drawn_from_stored_peaks_and_the_pause_is_marked(page: Page) -> None:
    expect(page.locator(".player-wave canvas").first).to_be_attached()
    caller, callee, *_ = page.locator("[data-player]").evaluate(DRAWN)
    assert caller > 1000
    assert callee > 1000
    bands = page.locator("[data-player]").get_attribute("data-bands")
    assert bands is not None
    assert json.loads(bands) == [{"start": pytest.approx(3, abs=0.3), "end": pytest.approx(5, abs=0.3)}]
    expect(page.locator(".player-wave [part~=region]")).to_have_count(1)
    expect(page.get_by_text("Recording paused by the phone system")).to_be_visible()


def test_keys_play_seek_and_change_the_speed(page: Page) -> None:
    player, speed = page.locator("[data-player]"), page.get_by_label("Speed")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-part=time]")).to_have_text("0:05")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-part=time]")).to_have_text("0:00")
    page.keyboard.press("]")
    page.keyboard.press("]")
    expect(speed).to_have_value("1.5")
    page.keyboard.press("[")
    expect(speed).to_have_value("1.25")
    assert page.evaluate(
        "[document.querySelector('audio').playbackRate, document.querySelector('audio').preservesPitch]"
    ) == [1.25, True]
    page.keyboard.press("Space")
    expect(player).to_have_attribute("data-playing", "true")
    page.keyboard.press("Space")
    expect(player).to_have_attribute("data-playing", "false")
    page.keyboard.press("Shift+ArrowRight")
    assert position(page) == pytest.approx(SECONDS, abs=0.5)


def test_a_moment_of_the_timeline_is_a_jump(page: Page) -> None:
    page.get_by_role("button", name="Recording resumed").click()
    expect(page.locator("[data-player]")).to_have_attribute("data-playing", "true")
    assert position(page) >= 4.7


def test_it_starts_within_the_time_that_people_call_at_once(page: Page) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator("[data-player]")).to_have_attribute("data-first-sound-ms", re.compile(r"\d+"))
    # The goal is 300 ms on a machine of its own; this one is shared.
    assert int(str(page.locator("[data-player]").get_attribute("data-first-sound-ms"))) < 2000


@pytest.mark.parametrize(("name", "suffix"), [("Opus", ".opus"), ("MP3", ".mp3")])
def test_it_can_be_downloaded_with_each_party_on_his_side(page: Page, tmp_path: Path, name: str, suffix: str) -> None:
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as started:
        page.get_by_role("link", name=name).click()
    assert started.value.suggested_filename.endswith(suffix)
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    samples, rate_hz = decode(path)
    spoken = samples[rate_hz : round(2.5 * rate_hz)]
    assert loudest_hz(spoken[:, 0], rate_hz) == pytest.approx(CALLER_HZ, abs=2)
    assert loudest_hz(spoken[:, 1], rate_hz) == pytest.approx(CALLEE_HZ, abs=2)
