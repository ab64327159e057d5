"""What a gateway's refusal means to somebody at a command line."""

from __future__ import annotations

import json
import re

from cli.errors import CliError

NOT_RUNNING = "start the platform with `headrace up`, see `headrace status`"
_BY_CODE = {
    "insufficient_quota": "see `headrace budgets show`; raise it with `headrace budgets set`",
    "budget_exceeded": "see `headrace budgets show`; raise it with `headrace budgets set`",
    "price_unknown": "set its price with `headrace prices set`",
}
_MISSING = re.compile(r"There is no (key|user|tenant|price|record|job) ")
# Ids are ids within a tenant: an admin's own is seldom the one that is meant.
_WHOSE = "name the tenant with --tenant where it is not that of the key in use"
_MISSING_FIXES = {"user": f"; {_WHOSE}", "key": f"; {_WHOSE}"}
_BY_STATUS = {
    401: "give the key with --key, HEADRACE_API_KEY, or run where .headrace/admin.key is",
    403: "use a key that may, such as the one in .headrace/admin.key",
    503: NOT_RUNNING,
}


def refused(status: int, raw: bytes) -> CliError:
    """The error for a reply that is no success; `raw` is its body, OpenAI's error or whatever a proxy says."""
    try:
        error = json.loads(raw)["error"]
        message, code = str(error["message"]), str(error.get("code") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        message = raw[:200].decode(errors="replace").strip() or "no reason was given"
        return CliError(f"HTTP {status}: {message}", "check that --url is the address of a Headrace gateway")
    return CliError(f"HTTP {status}: {message}", _fix(status, code, message), reason=code)


def _fix(status: int, code: str, message: str) -> str:
    if missing := _MISSING.match(message):
        what = missing[1]
        return _WHOSE if what == "record" else f"see `headrace {what}s list`{_MISSING_FIXES.get(what, '')}"
    return _BY_CODE.get(code) or _BY_STATUS.get(status, "")
