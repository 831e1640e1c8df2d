"""`earshot dial`: reads what the user wants, shows how it goes, and says what became of it.

Exit status: 0 when every call was answered and went as planned, 1 when not, 2 when the command makes no sense.
Nothing here dials by itself.
"""

import math
import resource
import signal
from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeVar

import trio
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from actors.dial.campaign import Campaign, Tally, dial_all
from actors.dial.conversation import Party
from actors.dial.errors import DialError, WrongUsage
from actors.dial.media import LONGEST_PTIME_MS, SHORTEST_PTIME_MS, MediaConfig
from actors.dial.plan import Plan, parse_keys, parse_share, parse_source, parse_span, parse_transfer

T = TypeVar("T")

# What takes longer than this shows a progress bar.
PATIENCE_S: Final = 2.0
REFRESH_S: Final = 0.25
FAILED: Final = 1
WRONG_USAGE: Final = 2
# A sentence that many calls share is one row; more rows than this would hide the sum.
MOST_REASONS: Final = 10


def dial(
    target: Annotated[
        str, typer.Argument(help="The recorder, as sip:host:port.", metavar="TARGET")
    ] = "sip:127.0.0.1:5060",
    calls: Annotated[int, typer.Option(min=1, help="How many calls.")] = 1,
    rate: Annotated[float, typer.Option(help="New calls a second.")] = 10.0,
    duration: Annotated[float, typer.Option(help="Seconds that each call lasts.")] = 10.0,
    transport: Annotated[
        Literal["udp", "tcp"] | None, typer.Option(help="What carries the SIP; else the target says it, or UDP.")
    ] = None,
    caller: Annotated[str, typer.Option(help="What the caller says: tone:HZ, silence, or an audio file.")] = "tone:440",
    callee: Annotated[str, typer.Option(help="What the callee says.")] = "tone:1000",
    mixed: Annotated[bool, typer.Option("--mixed", help="Send both parties in one stream.")] = False,
    codec: Annotated[Literal["pcmu", "pcma"], typer.Option(help="How the audio is coded.")] = "pcmu",
    ptime: Annotated[
        int, typer.Option(min=SHORTEST_PTIME_MS, max=LONGEST_PTIME_MS, help="Milliseconds a packet.")
    ] = 20,
    metadata: Annotated[
        Literal["rfc7865", "draft", "none"], typer.Option(help="Which recording metadata is sent.")
    ] = "rfc7865",
    from_number: Annotated[str, typer.Option(help="The caller's number, with @domain if you like.")] = "1001",
    from_name: Annotated[str, typer.Option(help="The caller's name.")] = "",
    to_number: Annotated[str, typer.Option(help="The callee's number.")] = "1002",
    to_name: Annotated[str, typer.Option(help="The callee's name.")] = "",
    pause: Annotated[
        list[str] | None, typer.Option(help="Pause from second to second (c=0.0.0.0).", metavar="FROM-TO")
    ] = None,
    hold: Annotated[
        list[str] | None, typer.Option(help="Hold from second to second (a=inactive).", metavar="FROM-TO")
    ] = None,
    transfer: Annotated[list[str] | None, typer.Option(help="Put another callee in.", metavar="AT[:NUMBER]")] = None,
    dtmf: Annotated[list[str] | None, typer.Option(help="Press keys.", metavar="KEYS@AT[:callee]")] = None,
    keep_sending: Annotated[
        bool, typer.Option("--keep-sending", help="Send audio during pauses and holds as well.")
    ] = False,
    loss: Annotated[str, typer.Option(help="The share of packets that get lost, as in 5%.", metavar="PERCENT")] = "0%",
    jitter: Annotated[float, typer.Option(min=0, help="Longest delay of a packet, in milliseconds.")] = 0.0,
    abrupt: Annotated[float | None, typer.Option(help="End after so many seconds without a BYE.", metavar="AT")] = None,
) -> None:
    """Call a recorder as a phone system would (SIPREC), to try a set-up.

    Examples:

    earshot dial

    earshot dial sip:recorder.example:5060 --transport tcp --caller agent.wav --callee customer.wav --duration 60

    earshot dial --pause 3-5 --keep-sending --transfer 6:1004 --dtmf '*48@2'

    earshot dial --calls 200 --rate 20 --duration 30 --loss 1% --jitter 15
    """
    try:
        if not 0 < rate < math.inf or not math.isfinite(jitter):
            raise WrongUsage("--rate and --jitter must be numbers, and the rate more than 0.")
        plan = Plan(
            duration_s=duration,
            pauses=_each("--pause", parse_span, pause),
            holds=_each("--hold", parse_span, hold),
            transfers=_each("--transfer", parse_transfer, transfer),
            keys=_each("--dtmf", parse_keys, dtmf),
            abrupt_s=abrupt,
        )
        if plan.transfers and metadata == "none":
            raise WrongUsage("--transfer is told in metadata, and --metadata none sends none.")
        media = MediaConfig(
            caller=_named("--caller", parse_source, caller),
            callee=_named("--callee", parse_source, callee),
            codec=codec,
            ptime_ms=ptime,
            loss=_named("--loss", parse_share, loss),
            jitter_ms=jitter,
            send_while_suspended=keep_sending,
        )
        campaign = Campaign(
            target,
            transport,
            calls,
            rate,
            plan,
            Party(from_number, from_name),
            Party(to_number, to_name),
            None if metadata == "none" else metadata,
            1 if mixed else 2,
            media,
        )
        tally = _run(campaign)
    except DialError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USAGE if isinstance(error, WrongUsage) else FAILED) from error
    Console(markup=False, highlight=False).print(_table(campaign, tally))
    raise typer.Exit(0 if tally.went_well(campaign) else FAILED)


def _run(campaign: Campaign) -> Tally:
    # A call of two streams takes four sockets, and a shell gives 1,024 unless it is asked.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tally = Tally()
    failure = trio.run(_dial_and_show, campaign, tally)
    if failure is not None:
        raise failure
    return tally


async def _dial_and_show(campaign: Campaign, tally: Tally) -> DialError | None:
    stop = trio.CancelScope()
    failure = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signal, stop)
        if campaign.lasts_s > PATIENCE_S:
            nursery.start_soon(_show, campaign, tally)
        try:
            await dial_all(campaign, tally, stop)
        except DialError as error:
            failure = error  # raised outside of the nursery, which would wrap it in a group
        nursery.cancel_scope.cancel()
    return failure


async def _stop_on_signal(
    stop: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Hangs up at Ctrl-C, so that the recorder need not find out by itself; at a second one gives up."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            if stop.cancel_called:
                raise KeyboardInterrupt
            stop.cancel()


async def _show(campaign: Campaign, tally: Tally) -> None:
    console = Console(stderr=True)
    if not console.is_terminal:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    start = trio.current_time()
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("", total=campaign.lasts_s)
        while True:
            refused = sum(tally.refusals.values())
            text = f"{tally.answered} of {campaign.calls} answered, {tally.up} up, {refused} refused"
            progress.update(task, description=text, completed=trio.current_time() - start, refresh=True)
            await trio.sleep(REFRESH_S)


def _table(campaign: Campaign, tally: Tally) -> Table:
    table = Table(show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("Calls answered", f"{tally.answered} of {campaign.calls}")
    for reasons in (tally.refusals, tally.faults):
        for reason, count in reasons.most_common(MOST_REASONS):
            table.add_row(reason, str(count))
        if others := sum(reasons.values()) - sum(count for _, count in reasons.most_common(MOST_REASONS)):
            table.add_row("Other reasons", str(others))
    if tally.stopped:
        table.add_row("Stopped before the end", "")
    table.add_row("Packets sent", f"{tally.packets_sent}")
    table.add_row("Packets lost", f"{tally.packets_lost}")
    return table


def _each(option: str, parse: Callable[[str], T], texts: list[str] | None) -> tuple[T, ...]:
    return tuple(_named(option, parse, text) for text in texts or ())


def _named(option: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except WrongUsage as error:
        raise WrongUsage(f"{option}: {error}") from error
