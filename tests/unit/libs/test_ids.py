from libs import ids


def test_random_ids_come_from_the_given_randomness():
    assert ids.request_id(lambda n: b"\x0a" * n) == "chatcmpl-" + "0a" * 12
    assert ids.boot_id(lambda n: b"\x0b" * n) == "0b" * 8


def test_random_ids_differ_by_default():
    assert len({ids.request_id() for _ in range(100)} | {ids.boot_id() for _ in range(100)}) == 200


def test_a_tool_calls_id_is_the_same_on_every_attempt_and_its_own():
    assert ids.tool_call_id("r", 0, 1) == ids.tool_call_id("r", 0, 1)
    others = {ids.tool_call_id(*key) for key in (("r", 0, 0), ("r", 0, 1), ("r", 1, 0), ("s", 0, 0))}
    assert len(others) == 4
    assert all(found.startswith("call_") and len(found) == 29 for found in others)
