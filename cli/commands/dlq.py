"""`headrace dlq`: messages that could not be done, and those that wait for a later version."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.options import AsJson, ConfigFile, StateDir, configuration
from cli.errors import CliError
from cli.output import print_json, reported
from cli.view.table import plain, show_facts, show_table

if TYPE_CHECKING:
    from cli.dlq import Desk
    from libs.kafka.letter_box import Box, Letter
    from libs.kafka.letter_tools import Replayed

dlq = typer.Typer(help="Dead letters and parked messages: list, show, replay.", no_args_is_help=True)

Parked = Annotated[
    bool, typer.Option("--parked", help="Messages of a newer schema, which wait for a later version, instead.")
]
Topic = Annotated[str, typer.Option(help="Of this topic only, such as headrace.jobs.requested.v1.")]
BrokerList = Annotated[str, typer.Option("--brokers", help="host:port,… (default: the platform's)")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="So many of a topic, the newest first.")]
AllStates = Annotated[bool, typer.Option("--all-states", help="Those that were replayed too.")]
Name = Annotated[str, typer.Argument(metavar="LETTER", help="<partition>:<offset>, as `dlq list` names it.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="LETTER…", help="As `dlq list` names them.")]
All = Annotated[bool, typer.Option("--all", help="All that were not replayed.")]
Cause = Annotated[str, typer.Option(help="Those of them whose cause holds this text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be sent back, and send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dlq.command("list")
def list_letters(
    topic: Topic = "",
    parked: Parked = False,
    limit: Limit = 20,
    all_states: AllStates = False,
    brokers: BrokerList = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show causes and letters, topic by topic."""
    with reported(as_json):
        desk = cli_dlq().Desk(cli_dlq().brokers_of(configuration(config, state_dir), brokers), parked, topic)
        boxes = asyncio.run(desk.boxes())
        shown = [(box, view().newest(box.letters if all_states else box.waiting, limit)) for box in boxes]
        if as_json:
            print_json({"topics": [view().box_document(box, letters) for box, letters in shown]})
            return
        for box, letters in shown:
            _show_box(box, letters, parked=parked)
        if not any(letters for _, letters in shown):
            typer.echo(_nothing(parked=parked, topic=topic))


@dlq.command()
def show(
    letter: Name,
    topic: Topic = "",
    parked: Parked = False,
    brokers: BrokerList = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show one letter: where it comes from, why it is here, its headers, its value, and the stack of its handler."""
    with reported(as_json):
        desk = cli_dlq().Desk(cli_dlq().brokers_of(configuration(config, state_dir), brokers), parked, topic)
        document = asyncio.run(_whole(desk, letter))
        print_json(document) if as_json else _show_letter(document)


@dlq.command("replay")
def replay_letters(
    letters: Names = None,
    everything: All = False,
    cause: Cause = "",
    topic: Topic = "",
    parked: Parked = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    brokers: BrokerList = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Send letters back to the topic that they came from, where their attempts begin again.

    Exit status 0 = all were sent back, 1 = some could not be.
    """
    with reported(as_json):
        _refuse_unclear(letters or [], cause, everything=everything)
        desk = cli_dlq().Desk(cli_dlq().brokers_of(configuration(config, state_dir), brokers), parked, topic)
        chosen = _chosen(asyncio.run(desk.boxes()), letters or [], cause)
        if dry_run or not chosen:
            _show_chosen(chosen, _nothing(parked=parked, topic=topic), as_json=as_json)
            return
        if not letters and not yes:
            _ask(chosen)
        done = asyncio.run(desk.replay(chosen))
        print_json(_replayed(done)) if as_json else _show_replayed(done, chosen)
        raise typer.Exit(1 if any(each.stubs for each in done.values()) else 0)


def cli_dlq() -> ModuleType:
    """The part that needs a client of the brokers, which takes longer to import than most commands run."""
    return importlib.import_module("cli.dlq")


def view() -> ModuleType:
    """What knows of letters, imported with it."""
    return importlib.import_module("cli.view.dlq")


def choice() -> ModuleType:
    """See `view`."""
    return importlib.import_module("cli.letter_choice")


async def _whole(desk: Desk, letter: str) -> dict[str, Any]:
    box, (found,) = choice().named(await desk.boxes(), [letter])
    message = await desk.whole(box.topic, found.place)
    document: dict[str, Any] = view().whole_document(message, done=found.place in box.done)
    return document


def _refuse_unclear(letters: Sequence[str], cause: str, *, everything: bool) -> None:
    if bool(letters) + bool(cause) + everything != 1:
        raise CliError("say which letters", "name them, or give one of --all and --cause TEXT", code=2)


def _chosen(boxes: Sequence[Box], letters: Sequence[str], cause: str) -> dict[str, list[Letter]]:
    if not letters:
        found: dict[str, list[Letter]] = choice().matching(boxes, cause)
        return found
    box, named = choice().named(boxes, letters)
    return {box.topic: named}


def _ask(chosen: Mapping[str, Sequence[Letter]]) -> None:
    what = ", ".join(f"{len(letters)} of {topic}" for topic, letters in chosen.items())
    if not sys.stdin.isatty():
        raise CliError(f"that would send back {what}, and there is nobody to ask", "add --yes, or --dry-run", code=2)
    typer.confirm(f"Send back {what}?", abort=True)


def _nothing(*, parked: bool, topic: str) -> str:
    return f"no {'parked messages' if parked else 'dead letters'}{f' of {topic}' if topic else ''}"


def _show_box(box: Box, letters: Sequence[Letter], *, parked: bool) -> None:
    now, waiting = time.time(), box.waiting
    if not letters:
        return
    kind = ("parked message" if parked else "dead letter") + ("s" if len(waiting) != 1 else "")
    typer.secho(f"{box.topic}: {len(waiting)} {kind}", bold=True)
    groups = view().by_cause(waiting)
    if not parked and len(groups) > 0:
        show_table(view().CAUSE_COLUMNS, [view().cause_row(group, now) for group in groups], right=("count",))
    typer.echo()
    rows = [view().letter_row(letter, now, done=letter.place in box.done) for letter in letters]
    columns = [*view().COLUMNS[:-1], "schema"] if parked else view().COLUMNS
    show_table(columns, rows, right=("attempts",))
    if (more := len(waiting) - len(letters)) > 0:
        typer.echo(f"and {more} more; --limit shows them")
    typer.echo()


def _show_letter(document: dict[str, Any]) -> None:
    show_facts(view().facts(document))
    typer.secho("\nheaders", bold=True)
    show_facts({f"  {name}": value for name, value in document["headers"].items()})
    if document["value"] is not None:
        typer.secho("\nvalue", bold=True)
        _print_lines(json.dumps(document["value"], indent=2, ensure_ascii=False))
    elif document["value_hex"]:
        typer.secho("\nvalue, its first bytes", bold=True)
        typer.echo(f"  {document['value_hex']}")
    if document["stack"]:
        typer.secho("\nstack", bold=True)
        _print_lines(document["stack"].rstrip())


def _print_lines(text: str) -> None:
    """As it is, without what would steer a terminal."""
    for line in text.split("\n"):
        typer.echo(f"  {plain(line)}")


def _show_chosen(chosen: Mapping[str, Sequence[Letter]], nothing: str, *, as_json: bool) -> None:
    if as_json:
        named = {topic: [view().name(each) for each in letters] for topic, letters in chosen.items()}
        print_json({"replayed": 0, "would_replay": named})
        return
    for topic, letters in chosen.items():
        typer.echo(f"would send back {len(letters)} of {topic}: {' '.join(view().name(each) for each in letters)}")
    if not chosen:
        typer.echo(nothing)


def _replayed(done: Mapping[str, Replayed]) -> dict[str, Any]:
    topics = {topic: {"replayed": each.count, "too_large": each.stubs} for topic, each in done.items()}
    return {"replayed": sum(each.count for each in done.values()), "topics": topics}


def _show_replayed(done: Mapping[str, Replayed], chosen: Mapping[str, Sequence[Letter]]) -> None:
    for topic, each in done.items():
        typer.echo(f"{each.count} sent back from {topic}")
        for letter in (letter for letter in chosen[topic] if letter.stub):
            where = "at {} {}:{}".format(*letter.origin) if letter.origin else "where it was first"
            typer.echo(
                f"not {view().name(letter)}: {letter.size_bytes} bytes were too many to be moved. It stands {where}, "
                "as long as that topic keeps it.",
                err=True,
            )
