"""What the board says aloud: nothing, until somebody switches it on at the board."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.pages import BoardPage
from tests.browser.served_bar import Bar
from tests.browser.visitors import Visitors
from tests.support.server import eventually

RECORD = """
    window.heard = [];
    const { AudioContext: Context } = window;
    window.AudioContext = class extends Context {
        constructor() { super(); heard.push('awake'); }
    };
    const { start } = OscillatorNode.prototype;
    OscillatorNode.prototype.start = function (...when) {
        heard.push('tone');
        start.apply(this, when);
    };
    SpeechSynthesis.prototype.speak = (sentence) => {
        heard.push(`${sentence.lang}: ${sentence.text}`);
        window.finishSentence = () => sentence.onend();
    };
    SpeechSynthesis.prototype.cancel = () => { window.isCutShort = true; };
"""
"""Records the page's own calls: a headless browser has no voice."""

CHIME = ["tone"] * 3


async def board_with_sound(visitors: Visitors, query: str = "") -> BoardPage:
    """Open a board and switch its sound on."""
    board = await visitors.blank_television()
    await board.page.add_init_script(RECORD)
    await board.open(query)
    await board.page.locator("body[data-known=true]").wait_for()
    await board.sound.click()
    await hears(board, "awake", *CHIME)
    return board


async def hears(board: BoardPage, *sounds: str) -> None:
    """Wait until exactly this was heard since the page was opened."""

    async def is_heard() -> bool:
        return bool(await board.page.evaluate("heard") == [*sounds])

    await eventually(is_heard)


async def test_it_is_silent_unless_switched_on(bar: Bar, visitors: Visitors) -> None:
    """No sound, and no script for it, until somebody wants it; a reload makes it silent again."""
    robot = await bar.robot()
    board = await visitors.blank_television()
    await board.page.add_init_script(RECORD)
    await board.open()
    await bar.order("")
    robot.finish()
    await board.shows(ready=[1])
    await expect(board.sound).not_to_be_checked()
    assert await board.page.evaluate("heard") == []
    assert bar.proxy.count("GET /public/js/board/announcer.js") == 0
    await board.sound.click()
    await expect(board.sound).to_be_checked()
    await hears(board, "awake", *CHIME)
    await board.page.reload()
    await board.shows(ready=[1])
    await expect(board.sound).not_to_be_checked()
    assert await board.page.evaluate("heard") == []


async def test_it_wakes_in_the_click(bar: Bar, visitors: Visitors) -> None:
    """Safari lets a page sound for what the click itself calls, not for what follows an import."""
    board = await visitors.blank_television()
    await board.page.add_init_script(RECORD)
    await board.open()
    await board.page.locator("body[data-known=true]").wait_for()
    await board.sound.evaluate(
        "node => node.addEventListener('click', () => heard.push('clicked'))"
    )
    await board.sound.click()
    await hears(board, "awake", "clicked", *CHIME)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [("", "en: Number {} is ready"), ("?lang=de", "de: Nummer {} ist fertig")],
    ids=["en", "de"],
)
async def test_one_at_a_time(bar: Bar, visitors: Visitors, query: str, sentence: str) -> None:
    """A chime and the number, in the board's language; the next one once that has been said."""
    ada, bert = await bar.robot("Robot Ada"), await bar.robot("Robot Bert")
    board = await board_with_sound(visitors, query)
    await bar.order("", "")
    await board.shows(mixing=[1, 2])
    ada.finish()
    await board.shows(ready=[1])
    bert.finish()
    await board.shows(ready=[2, 1])
    first = ["awake", *CHIME, *CHIME, sentence.format(1)]
    await hears(board, *first)
    await board.page.evaluate("finishSentence()")
    await hears(board, *first, *CHIME, sentence.format(2))


async def test_switched_off_it_falls_silent(bar: Bar, visitors: Visitors) -> None:
    """In the middle of a sentence, and what was still to be said is not said."""
    robot = await bar.robot()
    board = await board_with_sound(visitors)
    await bar.order("", "")
    robot.finish()
    robot.finish()
    await board.shows(ready=[2, 1])
    said = ["awake", *CHIME, *CHIME, "en: Number 1 is ready"]
    await hears(board, *said)
    await board.sound.click()
    await expect(board.sound).not_to_be_checked()
    assert await board.page.evaluate("isCutShort")
    await board.page.evaluate("finishSentence()")
    await board.sound.click()
    await hears(board, *said, *CHIME)


async def test_old_news_is_not_said(bar: Bar, visitors: Visitors) -> None:
    """After a break the board does not talk about what was ready long ago."""
    visitors.expect_network_errors = True
    robot = await bar.robot()
    board = await board_with_sound(visitors)
    await bar.order("", "")
    await board.shows(mixing=[1])
    bar.proxy.go_offline()
    robot.finish()
    await bar.sees(1, "done")
    bar.clock.moved_s = 90.0
    bar.proxy.go_online()
    await board.shows(ready=[1])
    robot.finish()
    await board.shows(ready=[2, 1])
    await hears(board, "awake", *CHIME, *CHIME, "en: Number 2 is ready")


async def test_a_voice_that_never_ends(bar: Bar, visitors: Visitors) -> None:
    """Some browsers do not say that they have finished: the next number is said all the same."""
    robot = await bar.robot()
    board = await visitors.blank_television()
    await board.page.clock.install()
    await board.page.add_init_script(RECORD)
    await board.open()
    await board.page.locator("body[data-known=true]").wait_for()
    await board.sound.click()
    await hears(board, "awake", *CHIME)
    await bar.order("", "")
    robot.finish()
    robot.finish()
    await board.shows(ready=[2, 1])
    await board.page.clock.run_for(3_000)
    first = ["awake", *CHIME, *CHIME, "en: Number 1 is ready"]
    await hears(board, *first)
    await board.page.clock.run_for(12_000)
    await hears(board, *first, *CHIME, "en: Number 2 is ready")
