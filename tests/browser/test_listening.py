"""A supervisor listens to a call that runs: each party in his ear, nothing of a pause, and on to the player at its end.

What is heard is measured where it leaves the page for the loudspeakers: an analyser for each ear.
"""

import itertools
import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Window, until_page
from tests.browser.house import CALLEE_HZ, CALLER_HZ, House, Ring

# Every node that is connected to the loudspeakers is connected to two analysers as well.
EARS = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to === this.context.destination) {
    const splitter = this.context.createChannelSplitter(2);
    connect.call(this, splitter);
    window.ears = [0, 1].map((side) => {
      const ear = this.context.createAnalyser();
      ear.fftSize = 8192;
      ear.smoothingTimeConstant = 0;
      connect.call(splitter, ear, side);
      return ear;
    });
  }
  return connect.call(this, to, ...rest);
};
window.hear = () => (window.ears ?? []).map((ear) => {
  const spectrum = new Float32Array(ear.frequencyBinCount);
  ear.getFloatFrequencyData(spectrum);
  const loudest = spectrum.reduce((best, level, bin) => (level > spectrum[best] ? bin : best), 1);
  const samples = new Float32Array(ear.fftSize);
  ear.getFloatTimeDomainData(samples);
  const rms = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
  return { hz: (loudest * ear.context.sampleRate) / ear.fftSize, rms };
});
"""
TONES = f"hear().length === 2 && Math.abs(hear()[0].hz - {CALLER_HZ}) < 8 && Math.abs(hear()[1].hz - {CALLEE_HZ}) < 8"
LOUD = "hear().every(({ rms }) => rms > 0.05)"
numbers = itertools.count()
SILENT = "hear().every(({ rms }) => rms === 0)"


@dataclass(frozen=True, slots=True)
class OnAir:
    """The page of a call that runs."""

    page: Page

    def hears(self, *what: str) -> None:
        until_page(self.page, " && ".join(f"({each})" for each in what))


def open_call(house: House, window: Window, caller: str, seconds: float, as_: str = "anna") -> OnAir:
    house.ring(Ring(caller=caller, seconds=seconds))
    page = window(as_=as_)
    page.add_init_script(EARS)
    page.goto("/calls?view=active")
    page.locator("[data-row]", has_text=caller).locator("[data-open]").click()
    expect(page.locator("[data-live]")).to_have_attribute("data-recording", "recording")
    return OnAir(page)


@pytest.fixture
def on_air(house: House, window: Window) -> OnAir:
    return open_call(house, window, f"1555111{next(numbers):04}", 60)


def test_each_party_is_in_his_ear_and_a_pause_lets_nothing_through(on_air: OnAir) -> None:
    page = on_air.page
    card = page.locator("[data-live]")
    page.get_by_role("button", name="Listen").click()
    on_air.hears(TONES, LOUD)
    expect(page.locator("[data-part=delay]")).to_have_text(re.compile(r"^Delay \d+ ms$"))
    # The goal is 500 ms on a machine of its own; this one is shared.
    assert int(str(card.get_attribute("data-first-sound-ms"))) < 3000
    until_page(page, "[...document.querySelectorAll('[data-meter]')].every((m) => m.ariaValueNow > -30)")

    page.get_by_role("button", name="Pause recording").click()
    expect(card).to_have_attribute("data-recording", "paused")
    expect(card).to_contain_text(re.compile(r"Paused at \d+:\d\d by anna\."))
    on_air.hears(SILENT)
    until_page(page, "[...document.querySelectorAll('[data-meter]')].every((m) => m.ariaValueNow === '-54')")

    page.get_by_role("button", name="Resume recording").click()
    expect(card).to_have_attribute("data-recording", "recording")
    on_air.hears(TONES, LOUD)

    page.get_by_role("button", name="Stop listening").click()
    expect(card).to_have_attribute("data-listening", "off")
    expect(page.get_by_role("button", name="Listen")).to_be_visible()


def test_a_pause_by_somebody_else_is_shown_and_heard(on_air: OnAir, window: Window) -> None:
    page = on_air.page
    page.get_by_role("button", name="Listen").click()
    on_air.hears(TONES, LOUD)
    other = window(as_="anna")
    other.goto(page.url)
    other.get_by_role("button", name="Pause recording").click()
    expect(page.locator("[data-live]")).to_have_attribute("data-recording", "paused")
    on_air.hears(SILENT)


def test_a_supervisor_listens_and_cannot_pause_an_agent_does_neither(house: House, window: Window) -> None:
    on_air = open_call(house, window, "15554440001", 40, as_="sam")
    expect(on_air.page.get_by_role("button", name="Pause recording")).to_have_count(0)
    on_air.page.get_by_role("button", name="Listen").click()
    on_air.hears(TONES, LOUD)
    agent = window(as_="ulla")
    agent.goto(on_air.page.url)
    expect(agent.locator("[data-live]")).to_contain_text("Everything that is said is recorded.")
    expect(agent.get_by_role("button", name="Listen")).to_have_count(0)
    expect(agent.get_by_role("button", name="Pause recording")).to_have_count(0)


def test_when_the_call_ends_the_page_becomes_its_player(house: House, window: Window) -> None:
    on_air = open_call(house, window, "15554440002", 10)
    page = on_air.page
    page.evaluate("window.same = true")
    page.get_by_role("button", name="Listen").click()
    on_air.hears(TONES, LOUD)
    expect(page.locator("[data-player]")).to_be_visible()
    assert page.evaluate("window.same")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator("[data-player]")).to_have_attribute("data-playing", "true")
    expect(page.locator("[data-part=time]")).to_have_text("0:02")


def test_where_browsers_play_no_live_audio_the_page_says_why(house: House, window: Window) -> None:
    house.ring(Ring(caller="15554440003", seconds=30))
    page = window(as_="anna")
    # What a browser has at http://recorder.example.com
    page.add_init_script("delete window.AudioWorkletNode")
    page.goto("/calls?view=active")
    page.locator("[data-row]", has_text="15554440003").locator("[data-open]").click()
    expect(page.get_by_role("button", name="Listen")).to_be_disabled()
    expect(page.get_by_text("Browsers play live audio only over https")).to_be_visible()
    expect(page.get_by_role("button", name="Pause recording")).to_be_enabled()
