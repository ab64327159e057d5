from __future__ import annotations

from services.gateway.domain.salt import CacheSalts


def test_salts_are_secret_stable_and_each_tenants_own():
    salts = CacheSalts(b"pepper")
    assert salts.salt("a") == CacheSalts(b"pepper").salt("a")
    assert salts.salt("a") != salts.salt("b")
    assert salts.salt("a") != CacheSalts(b"other").salt("a")
    assert len(salts.salt("a")) == 32
