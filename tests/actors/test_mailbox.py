"""Letters in order, each answered once, none left without an answer."""

import pytest
import trio

from actors.mailbox import MOST_WAITING, Mailbox, Unanswered


async def echo(mailbox: Mailbox[int, int], handled: list[int]) -> None:
    while (letter := await mailbox.take()) is not None:
        handled.append(letter.content)
        letter.then(letter.content * 10)


async def test_answers_come_in_the_order_of_the_letters() -> None:
    mailbox: Mailbox[int, int] = Mailbox()
    handled: list[int] = []
    answers: list[object] = []
    async with trio.open_nursery() as nursery:
        for number in range(5):
            mailbox.post(number, answers.append)
        nursery.start_soon(echo, mailbox, handled)
        assert await mailbox.ask(5) == 50
        mailbox.close()
    assert handled == [0, 1, 2, 3, 4, 5]
    assert answers == [0, 10, 20, 30, 40]


async def test_a_closed_mailbox_answers_everything_at_once() -> None:
    mailbox: Mailbox[int, int] = Mailbox()
    answers: list[object] = []
    mailbox.post(1, answers.append)
    mailbox.close()
    mailbox.post(2, answers.append)
    assert [type(answer) for answer in answers] == [Unanswered, Unanswered]
    with pytest.raises(Unanswered, match="ended"):
        await mailbox.ask(3)
    with trio.fail_after(1):
        await echo(mailbox, [])


async def test_a_swamped_mailbox_refuses() -> None:
    mailbox: Mailbox[int, int] = Mailbox()
    answers: list[object] = []
    for number in range(MOST_WAITING + 1):
        mailbox.post(number, answers.append)
    assert len(answers) == 1
    assert isinstance(answers[0], Unanswered)


async def test_letters_wait_for_the_next_run() -> None:
    mailbox: Mailbox[int, int] = Mailbox()
    answers: list[object] = []

    async def fails_on_the_first() -> None:
        await mailbox.take()
        raise ValueError("broken")

    mailbox.post(1, answers.append)
    mailbox.post(2, answers.append)
    with pytest.raises(ValueError, match="broken"):
        await fails_on_the_first()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo, mailbox, [])
        assert await mailbox.ask(3) == 30
        mailbox.close()
    assert answers == [20]


async def test_a_letter_that_comes_up_too_late_is_not_carried_out(autojump_clock: trio.testing.MockClock) -> None:
    mailbox: Mailbox[str, str] = Mailbox()
    answers: list[str | Unanswered] = []
    mailbox.post("late", answers.append, until_s=trio.current_time() + 2)
    mailbox.post("in time", answers.append, until_s=trio.current_time() + 4)
    await trio.sleep(3)
    letter = await mailbox.take()
    assert letter is not None
    assert letter.content == "in time"
    (answer,) = answers
    assert "nothing was done" in str(answer)
