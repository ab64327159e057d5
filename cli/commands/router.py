"""`headrace router`: what the router's classifier says of prompts, its threshold from your traffic, and variants."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.calibration import Calibration, calibrated
from cli.commands.options import AsJson
from cli.commands.router_variants import variants
from cli.errors import CliError
from cli.output import print_json, reported
from cli.traffic import opened, prompts
from cli.view.table import show_facts
from services.router.domain.classifier import Classifier, TurnFacts
from services.router.domain.classifier.model import BadModelError
from services.router.policy_settings import ThresholdSettings

router = typer.Typer(help="The router: score, calibrate, variants.", no_args_is_help=True)
router.add_typer(variants, name="variants")

ModelFile = Annotated[
    Path | None, typer.Option("--model", help="A file of tools/train_router.py. (default: the one that is shipped)")
]
Lines = Annotated[str, typer.Argument(help='JSON Lines with {"prompt": "…"}; - = standard input.')]
StrongShare = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of turns for the large tier, 0 to 1.")]
Unsure = Annotated[
    Literal["small", "large", "frontier"],
    typer.Option(help="The router's policy.unsure: where turns go that say nothing."),
]


@router.command()
def score(lines: Lines = "-", model: ModelFile = None) -> None:
    """Write {"score": …} for each prompt, in order: 0 to 1, higher = the large model is more worth its price."""
    with reported(as_json=False), opened(lines) as file:
        classifier = load_classifier(model)
        for prompt in prompts(file, lines):
            sys.stdout.write(json.dumps({"score": classifier.score(prompt)}) + "\n")


@router.command()
def calibrate(
    traffic: Lines,
    strong_share: StrongShare = 0.3,
    unsure: Unsure = "large",
    model: ModelFile = None,
    as_json: AsJson = False,
) -> None:
    """Find the threshold at which the wanted share of your own turns goes to the large tier."""
    with reported(as_json), opened(traffic) as file:
        classifier = load_classifier(model)
        judged = [classifier.judge(TurnFacts(text=prompt)) for prompt in prompts(file, traffic)]
        if not judged:
            raise CliError(f"{traffic} holds no prompt", "give some hundred turns of your own traffic", code=2)
        found = calibrated(judged, strong_share, unsure_is_strong=unsure != "small")
        print_json(_document(found)) if as_json else _show(found)


def load_classifier(path: Path | None) -> Classifier:
    """The shipped model or a file's; raises CliError."""
    try:
        return Classifier.load(path)
    except BadModelError as problem:
        raise CliError(str(problem), code=2) from problem
    except OSError as problem:
        raise CliError(
            f"{path} cannot be read: {problem.strerror}", "name a file of tools/train_router.py", 2
        ) from problem


def _document(found: Calibration) -> dict[str, Any]:
    return {
        "thresholds": _thresholds(found),
        "strong_share": {"wanted": found.wanted, "achieved": found.achieved},
        "turns": found.turns,
        "unsure": found.unsure,
        "scores": found.quantiles,
        "note": found.note or None,
    }


def _thresholds(found: Calibration) -> dict[str, float]:
    """As the router's settings take them: frontier is never below large."""
    usual = ThresholdSettings().frontier
    return {"large": found.threshold} | ({"frontier": found.threshold} if found.threshold > usual else {})


def _show(found: Calibration) -> None:
    show_facts(
        {
            "turns": str(found.turns),
            "unsure": f"{found.unsure} ({found.unsure / found.turns:.0%}): policy decides, no threshold does",
            "scores": ", ".join(f"{name} {value:.3f}" for name, value in found.quantiles.items()),
            "large tier": f"{found.achieved:.1%} of turns, {found.wanted:.1%} wanted",
            "note": found.note,
        }
    )
    typer.echo("\nin headrace.yaml (or the router's own settings, without the first two lines):\n")
    typer.echo("services:\n  router:\n    thresholds:")
    for name, value in _thresholds(found).items():
        typer.echo(f"      {name}: {value}")
