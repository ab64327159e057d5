"""Where two gateways spend their time differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TOP = 25


def differences(samples: dict[str, Path], gateway_us: dict[str, float]) -> dict[str, Any]:
    """The functions that cost `real` most more than `bare`, in µs per request: their own time, and with callees.

    `gateway_us` is each gateway's CPU per request in the sampled window, which its samples are shares of.
    """
    found = {name: json.loads(path.read_text()) for name, path in samples.items()}
    out: dict[str, Any] = {"gateway_us": gateway_us, "samples": {}}
    for kind in ("self", "inclusive"):
        cost = {}
        for name, counts in found.items():
            total = sum(counts["self"].values())
            out["samples"][name] = total
            cost[name] = {where: gateway_us[name] * count / total for where, count in counts[kind].items()}
        places = cost["real"].keys() | cost["bare"].keys()
        rows = {where: (cost["real"].get(where, 0.0), cost["bare"].get(where, 0.0)) for where in places}
        most = sorted(rows, key=lambda where: rows[where][1] - rows[where][0])[:TOP]
        out[kind] = [
            {"added_us": round(rows[w][0] - rows[w][1], 1), "real_us": round(rows[w][0], 1), "where": w} for w in most
        ]
    return out
