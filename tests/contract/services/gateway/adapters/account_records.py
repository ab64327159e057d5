"""Records to test account stores with, and how they are put in."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import Change, Key, Kind, Price, Tenant, User


def fresh(prefix="acme"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def change(kind, tenant, record_id, before, after, actor="key_admin"):
    return Change(kind=kind, tenant=tenant, id=record_id, actor=actor, at=1_700_000_000.25, before=before, after=after)


async def put(store, record, before=None):
    await store.change(change_of(record, before, record))
    return record


async def drop(store, record):
    await store.change(change_of(record, record, None))


def change_of(record, before, after):
    kind = {Tenant: Kind.TENANT, User: Kind.USER, Key: Kind.KEY, Price: Kind.PRICE}[type(record)]
    if kind is Kind.PRICE:
        return change(kind, "", record.model, before, after)
    return change(kind, record.id if kind is Kind.TENANT else record.tenant, record.id, before, after)


async def tenant_with_key(store, user=""):
    tenant = fresh()
    await put(store, Tenant(id=tenant))
    if user:
        await put(store, User(tenant=tenant, id=user))
    return tenant, await put(store, Key(tenant=tenant, id=fresh("key"), hmac=fresh("hmac"), user=user))


@asynccontextmanager
async def conflict(match=None):
    with pytest.raises(PlatformError, match=match) as caught:
        yield
    assert caught.value.reason is Reason.CONFLICT
