from cli.commands.status import as_document
from cli.supervisor.state import PlatformState, ProcessState


def test_what_does_not_run_has_no_processes():
    assert as_document(None, {}) == {"running": False, "ready": False, "processes": []}


def test_the_document_joins_the_supervisor_and_the_router():
    processes = [
        ProcessState("gateway", "gateway", 8080, "ready", 11, 1.0),
        ProcessState("inference-0", "worker", 8111, "ready", 12, 1.0, "b0"),
        ProcessState("inference-1", "worker", 8112, "backoff"),
    ]
    state = PlatformState(10, 1.0, "http://127.0.0.1:8080", "127.0.0.1:8090", ready=True, processes=processes)
    document = as_document(state, {"inference-0": {"state": "live", "boot_id": "b0"}})
    assert [(p["name"], p["pid"], p["port"], p["state"]) for p in document["processes"]] == [
        ("gateway", 11, 8080, "ready"),
        ("inference-0", 12, 8111, "ready"),
        ("inference-1", 0, 8112, "backoff"),
    ]
    assert "routed" not in document["processes"][0]
    assert document["processes"][1]["routed"]["boot_id"] == "b0"
    assert document["processes"][2]["routed"] is None
