"""Takes personal data and secrets out of text before it is stored."""

from services.gateway.domain.redaction.redactor import PatternRedactor

__all__ = ["PatternRedactor"]
