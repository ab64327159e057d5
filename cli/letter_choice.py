"""Which letters a command means."""

from __future__ import annotations

from collections.abc import Sequence

from cli.errors import CliError
from libs.kafka.letter_box import Box, Letter, Place
from libs.kafka.letter_topics import consumed_topic


def place_of(text: str) -> Place:
    """Partition and offset out of "0:17". Raises CliError."""
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise CliError(f"{text!r} names no letter", "name it as `dlq list` does: <partition>:<offset>", code=2)
    return int(partition), int(offset)


def named(boxes: Sequence[Box], names: Sequence[str]) -> tuple[Box, list[Letter]]:
    """The letters of these names, all of one topic. Raises CliError."""
    places = dict.fromkeys(place_of(name) for name in names)
    if not boxes:
        raise CliError("there is no letter here at all", "`dlq list` shows what is there")
    if len(boxes) > 1:
        topics = ", ".join(consumed_topic(box.topic) for box in boxes)
        raise CliError("letters of several topics are here", f"say which with --topic: {topics}", code=2)
    there = {letter.place: letter for letter in boxes[0].letters}
    if unknown := [f"{partition}:{offset}" for partition, offset in places if (partition, offset) not in there]:
        raise CliError(f"{boxes[0].topic} has no letter {', '.join(unknown)}", "`dlq list` shows what is there")
    return boxes[0], [there[place] for place in places]


def matching(boxes: Sequence[Box], cause: str) -> dict[str, list[Letter]]:
    """Those that nobody has replayed and whose cause holds the text, in either case; by topic of letters."""
    found = {box.topic: [each for each in box.waiting if cause.lower() in each.cause.lower()] for box in boxes}
    return {topic: letters for topic, letters in found.items() if letters}
