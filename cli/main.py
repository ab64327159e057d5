"""The command `headrace`."""

from __future__ import annotations

import typer

from cli.commands.budgets import budgets
from cli.commands.chat import chat
from cli.commands.demo import demo
from cli.commands.dlq import dlq
from cli.commands.doctor import doctor
from cli.commands.down import down
from cli.commands.explain import explain
from cli.commands.jobs import jobs
from cli.commands.keys import keys
from cli.commands.ledger import ledger
from cli.commands.model import model
from cli.commands.prices import prices
from cli.commands.requests import requests
from cli.commands.router import router
from cli.commands.spend import spend
from cli.commands.status import status
from cli.commands.tenants import tenants, users
from cli.commands.up import up

app = typer.Typer(
    name="headrace",
    help="Serves LLMs to agents: gateway, router and inference that know of each other.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command()(down)
app.command()(status)
app.command()(chat)
app.command()(demo)
app.command()(doctor)
app.command()(explain)
app.command()(spend)
app.add_typer(keys, name="keys")
app.add_typer(budgets, name="budgets")
app.add_typer(tenants, name="tenants")
app.add_typer(users, name="users")
app.add_typer(prices, name="prices")
app.add_typer(requests, name="requests")
app.add_typer(dlq, name="dlq")
app.add_typer(ledger, name="ledger")
app.add_typer(jobs, name="jobs")
app.add_typer(router, name="router")
app.add_typer(model, name="model")


if __name__ == "__main__":
    app()
