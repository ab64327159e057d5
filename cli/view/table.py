"""Tables of accounts: nothing is cut in a pipe, and nothing that a client named can steer a terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Of a pipe or file: rows stay lines there.
_COLUMNS_OF_A_PIPE = 400


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = (), total: Sequence[str] = ()
) -> None:
    """Prints rows on stdout, then the row `total`; the columns named in `right` are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    if total:
        table.add_row(*_cells(total), style="bold")
    _screen().print(table)


def _cells(row: Sequence[str]) -> list[Text]:
    return [Text(plain(cell)) for cell in row]


def show_facts(facts: Mapping[str, str]) -> None:
    """Prints one object, a line per fact; facts without a value are left out."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(plain(value)))
    _screen().print(table)


def plain(text: str) -> str:
    """The text without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _screen() -> Console:
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=_COLUMNS_OF_A_PIPE)
