"""`headrace explain "<prompt>"`: the tier, the probability, and the features that weighed most."""

from __future__ import annotations

from pathlib import Path

import typer

from cli.commands.options import configuration
from cli.commands.router import load_classifier
from cli.config import Config
from cli.errors import CliError
from cli.output import print_json, reported
from cli.view.table import show_facts, show_table
from services.router.domain.classifier import Judgement, TurnFacts
from services.router.policy_settings import PolicySettings, ThresholdSettings


def explain_prompt(
    prompt: str, *, config: Path | None, state_dir: Path | None, model: Path | None, as_json: bool
) -> None:
    """Judges a text alone, as the first turn of a session without tools, with the thresholds of the settings file.

    Raises CliError: a model file or a setting that cannot be used.
    """
    with reported(as_json):
        classifier = load_classifier(model)
        judged = classifier.judge(TurnFacts(text=prompt))
        thresholds, policy = _settings(configuration(config, state_dir))
        tier = _tier(judged, thresholds)
        if as_json:
            print_json(_document(judged, tier, thresholds))
            return
        show_facts(_facts(judged, tier, thresholds, policy))
        if judged.features:
            typer.echo()
            rows = [(name, "large" if pull > 0 else "small", f"{pull:+.2f}") for name, pull in judged.features]
            show_table(("what weighed", "speaks for", "log-odds"), rows, right=("log-odds",))
        wordings = classifier.wordings(prompt)
        if wordings:
            typer.echo("\nwording: " + ", ".join(f"{word} {pull:+.2f}" for word, pull in wordings))


def _settings(config: Config) -> tuple[ThresholdSettings, PolicySettings]:
    given = config.services.router
    try:
        return (
            ThresholdSettings.model_validate(given.get("thresholds", {})),
            PolicySettings.model_validate(given.get("policy", {})),
        )
    except ValueError as problem:
        raise CliError(
            f"services.router in the settings file: {problem}", "correct it, or leave it out", 2
        ) from problem


def _tier(judged: Judgement, thresholds: ThresholdSettings) -> str | None:
    if judged.unsure:
        return None
    if judged.score >= thresholds.frontier:
        return "frontier"
    return "large" if judged.score >= thresholds.large else "small"


def _facts(
    judged: Judgement, tier: str | None, thresholds: ThresholdSettings, policy: PolicySettings
) -> dict[str, str]:
    chance = judged.small_probability
    asked = f"large from {thresholds.large:.2f}, frontier from {thresholds.frontier:.2f}"
    return {
        "tier": tier or f"unsure: policy decides (policy.unsure: {policy.unsure})",
        "score": f"{judged.score:.3f} ({asked})",
        "small tier answers well": "unknown" if chance is None else f"probability {chance:.2f}",
    }


def _document(judged: Judgement, tier: str | None, thresholds: ThresholdSettings) -> dict[str, object]:
    return {
        "tier": tier,
        "unsure": judged.unsure,
        "score": judged.score,
        "small_probability": judged.small_probability,
        "thresholds": {"large": thresholds.large, "frontier": thresholds.frontier},
        "features": [{"name": name, "pull": pull} for name, pull in judged.features],
    }
