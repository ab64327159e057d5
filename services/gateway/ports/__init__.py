"""What the gateway needs of the world around it. Adapters implement these; tests script them."""

from services.gateway.ports.accounts import AccountStore, AuditLog, KeyDirectory, PriceBook, Spend
from services.gateway.ports.ledger import Ledger, Outbox
from services.gateway.ports.pipeline import (
    Catalog,
    Encoder,
    Encoders,
    Metadata,
    Observer,
    Owners,
    Router,
    Workers,
)

__all__ = [
    "AccountStore",
    "AuditLog",
    "Catalog",
    "Encoder",
    "Encoders",
    "KeyDirectory",
    "Ledger",
    "Metadata",
    "Observer",
    "Outbox",
    "Owners",
    "PriceBook",
    "Router",
    "Spend",
    "Workers",
]
