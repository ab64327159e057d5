"""What the gateway needs of the world around it. Adapters implement these; tests script them."""

from services.gateway.ports.accounts import AccountStore, AuditLog, KeyDirectory, PriceBook, Spend
from services.gateway.ports.ledger import Census, Holds, Leases, Ledger, Outbox, Reservations
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
    "Census",
    "Encoder",
    "Encoders",
    "Holds",
    "KeyDirectory",
    "Leases",
    "Ledger",
    "Metadata",
    "Observer",
    "Outbox",
    "Owners",
    "PriceBook",
    "Reservations",
    "Router",
    "Spend",
    "Workers",
]
