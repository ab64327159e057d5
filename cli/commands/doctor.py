"""`headrace doctor`: what would keep the platform from running, and the fix."""

from __future__ import annotations

from dataclasses import asdict

import typer

from cli.commands.options import AsJson, ConfigFile, StateDir, Workers, configuration
from cli.doctor import examine
from cli.output import console, print_json, reported

COLOURS = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(
    config: ConfigFile = None, state_dir: StateDir = None, workers: Workers = None, as_json: AsJson = False
) -> None:
    """Check ports, disk, memory, Python, settings, model and permissions; exit status 1 when something is wrong."""
    with reported(as_json):
        findings = examine(configuration(config, state_dir, workers=workers))
        healthy = all(finding.level != "error" for finding in findings)
        if as_json:
            print_json({"healthy": healthy, "findings": [asdict(finding) for finding in findings]})
        else:
            screen = console()
            for finding in findings:
                screen.print(f"{finding.level:<8}", style=COLOURS[finding.level], end="")
                screen.print(f"{finding.check:<12} {finding.message}", markup=False, soft_wrap=True)
                if finding.fix:
                    screen.print(f"{'':<21}fix: {finding.fix}", markup=False, soft_wrap=True)
        raise typer.Exit(0 if healthy else 1)
