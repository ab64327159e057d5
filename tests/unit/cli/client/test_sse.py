from cli.client.sse import Event, events


def read(text):
    return list(events(text.split("\n")))


def test_events_have_an_id_a_name_and_their_data():
    assert read("id: 3\nevent: job\ndata: {}\n\ndata:x\ndata: y\n\n") == [
        Event("3", "job", "{}"),
        Event("3", "message", "x\ny"),
    ]


def test_comments_and_what_the_end_cuts_are_none():
    assert read(": ping\n\ndata: whole\n\ndata: ha") == [Event("", "message", "whole")]
