"""How hard is this turn? A calibrated probability that the small tier answers it well, and what speaks for it."""

from services.router.domain.classifier.classifier import Classifier
from services.router.domain.classifier.facts import Judgement, TurnFacts

__all__ = ["Classifier", "Judgement", "TurnFacts"]
