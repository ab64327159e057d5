"""A gateway's jobs API, scripted."""

import json

import httpx

JOB = "job_0123456789abcdef01234567"


def job(status="running", *, done=0, failed=0, total=4, version=1, **more):
    """A document of the API."""
    return {
        "id": JOB,
        "object": "job",
        "status": status,
        "created_at": 1_700_000_000,
        "started_at": None,
        "ended_at": 1_700_000_060 if status in ("succeeded", "failed", "cancelled", "expired") else None,
        "expires_at": 1_700_086_400,
        "requests": {"total": total, "succeeded": done, "failed": failed},
        "attempts": 1,
        "running_tokens": 0,
        "usage": {"prompt_tokens": 40, "cached_tokens": 16, "completion_tokens": 10 * done},
        "cost_usd": "0.0000125",
        "reserved_usd": "0.001",
        "priority": 0,
        "metadata": {},
        "error": None,
        "webhook": None,
        "batch": None,
        "cancelling": False,
        "version": version,
    } | more


def result(step, *, status=200):
    """A line of results."""
    body = {"choices": [{"message": {"content": "é"}}]} if status == 200 else {"error": {"message": "no"}}
    response = {"status_code": status, "request_id": f"r{step}", "body": body}
    return {"step": step, "custom_id": f"c{step}", "response": response, "error": None}


def news(*documents):
    """A stream of events."""
    return "".join(f"id: {each['version']}\nevent: job\ndata: {json.dumps(each)}\n\n: ping\n\n" for each in documents)


class Broken(httpx.SyncByteStream):
    """A stream that breaks off after `text`."""

    def __init__(self, text):
        self._text = text

    def __iter__(self):
        yield self._text.encode()
        raise httpx.RemoteProtocolError("peer closed connection")


def stream(text):
    return httpx.Response(200, text=text)


def broken(text):
    return httpx.Response(200, stream=Broken(text))


def refusal(status, message, code=""):
    return httpx.Response(status, json={"error": {"message": message, "code": code}})


class Gateway(httpx.BaseTransport):
    """Answers in turn; an exception is raised, the last answer is given for ever."""

    def __init__(self, *answers):
        self.requests = []
        self._left = list(answers)

    def handle_request(self, request):
        request.read()
        self.requests.append(request)
        answer = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(200, json=answer) if isinstance(answer, dict) else answer
