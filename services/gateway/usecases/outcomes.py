"""Sums up what became of attempts until the router is told."""

from __future__ import annotations

from services.gateway.domain.attempts import Outcome
from services.gateway.domain.outcomes import OutcomeKey, OutcomeSums, attempts_of, failed, foretold
from services.gateway.domain.record import CallRecord

# Of workers, models and variants that ended calls between two reports; those beyond go untold.
KEYS_MAX = 4096


class OutcomeLog:
    """An Observer of calls. What is lost of it is not missed: the router goes by shares and sums of many gateways."""

    def __init__(self) -> None:
        self._sums: dict[OutcomeKey, OutcomeSums] = {}
        self.untold = 0

    def ended(self, record: CallRecord) -> None:
        """See Observer."""
        for key, past in attempts_of(record):
            sums = self._sums.get(key)
            if sums is None:
                if len(self._sums) >= KEYS_MAX:
                    self.untold += 1
                    continue
                sums = self._sums[key] = OutcomeSums()
            if past is None:
                sums.count(record.first_token_ms)
                _compare(sums, record)
            else:
                sums.count(past.first_token_ms)
                if failed(past):
                    sums.failures += 1
                elif past.outcome is Outcome.NOT_STARTED:
                    sums.refusals += 1

    def take(self) -> dict[OutcomeKey, OutcomeSums]:
        """What has come since the last call; empty = no news."""
        taken, self._sums = self._sums, {}
        return taken


def _compare(sums: OutcomeSums, record: CallRecord) -> None:
    predicted = foretold(record)
    if predicted is not None:
        sums.predictions += 1
        sums.cached_tokens_predicted += predicted
        sums.cached_tokens_reported += record.cached_tokens
