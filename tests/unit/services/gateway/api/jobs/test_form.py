"""Forms of uploads: read in pieces of any size, refused when they are not whole."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.api.jobs.form import Form

KIND = 'multipart/form-data; boundary="b0"'


def field(name, value):
    return b'--b0\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name, value)


def file(content, name=b"in.jsonl", of=b"file"):
    head = b'content-disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: application/jsonl\r\n' % (
        of,
        name,
    )
    return b"--b0\r\n" + head + b"\r\n" + content + b"\r\n"


END = b"--b0--\r\n"
PURPOSE = field(b"purpose", b"batch")


async def cut(body, size):
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def read(body, size=1 << 16, kind=KIND):
    form = Form(kind, cut(body, size))
    name = await form.filename()
    before = dict(form.fields)
    content = b"".join([piece async for piece in form.file()])
    return name, before, content, dict(await form.rest())


def refused(body, **more):
    with pytest.raises(PlatformError) as raised:
        run(read(body, **more))
    assert raised.value.reason is Reason.INVALID_REQUEST
    return raised.value


@given(st.binary(max_size=300), st.integers(1, 64))
def test_whatever_the_pieces_the_form_is_the_same(content, size):
    body = PURPOSE + file(content) + field(b"more", b"x") + END
    loop = asyncio.new_event_loop()
    try:
        found = loop.run_until_complete(read(body, size))
    finally:
        loop.close()
    assert found == ("in.jsonl", {"purpose": "batch"}, content, {"purpose": "batch", "more": "x"})


def test_fields_may_come_behind_the_file():
    assert run(read(file(b"x") + PURPOSE + END, 8)) == ("in.jsonl", {}, b"x", {"purpose": "batch"})


def test_a_field_that_is_repeated_changes_no_other():
    form = PURPOSE + field(b"more", b"x") + field(b"purpose", b"vision") + file(b"x") + END
    assert run(read(form))[1] == {"purpose": "vision", "more": "x"}


def test_content_may_look_like_a_boundary():
    content = b"\r\n--b1\r\n--b0x\r\n\r\n--b"
    assert run(read(PURPOSE + file(content) + END, 3))[2] == content


def test_an_empty_file_is_a_file():
    assert run(read(PURPOSE + file(b"") + END))[2] == b""


def test_a_second_file_is_no_part_of_the_first():
    assert run(read(file(b"one") + file(b"two") + END))[2] == b"one"


def test_names_of_files_keep_their_characters():
    assert run(read(file(b"x", "größe.jsonl".encode()) + END))[0] == "größe.jsonl"


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="])
def test_what_is_no_form_is_told_so(kind):
    assert "multipart/form-data" in refused(PURPOSE, kind=kind).message


def test_a_boundary_of_any_length_is_not_taken():
    assert "boundary" in refused(b"", kind="multipart/form-data; boundary=" + "x" * 300).message


def test_a_form_without_a_file_is_told_so():
    assert refused(PURPOSE + END).param == "file"
    assert refused(PURPOSE + file(b"x", of=b"data") + END).param == "file"
    assert refused(b"").param == "file"


@pytest.mark.parametrize("left_out", range(1, 12))
@pytest.mark.parametrize("body", [PURPOSE + file(b"x" * 50), file(b"x") + PURPOSE], ids=["file last", "file first"])
def test_a_form_that_is_cut_is_no_form(body, left_out):
    refused((body + END.rstrip(b"\r\n"))[:-left_out])


def test_a_broken_form_is_told_so():
    refused(b"nonsense\r\n")
    refused(b"--b0\r\nno header\r\n\r\nx\r\n" + END)
    refused(b"--b0\r\n" + b"x-header: y\r\n" * 1000)


def test_fields_are_bounded_in_size_and_number():
    assert "too many or too large" in refused(field(b"purpose", b"x" * 20_000) + file(b"x") + END).message
    many = b"".join(field(b"f%d" % n, b"") for n in range(40))
    assert "too many or too large" in refused(many + file(b"x") + END).message
    assert "too many or too large" in refused(file(b"x") + field(b"late", b"x" * 20_000) + END).message


def test_no_more_is_read_than_is_asked_for():
    """What a file holds is not gathered here: each piece is handed on before the next one is read."""

    async def main():
        pulled = 0

        async def pieces():
            nonlocal pulled
            yield PURPOSE + b'--b0\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(1000):
                pulled += 1
                yield b"x" * 1000

        form = Form(KIND, pieces())
        await form.filename()
        assert pulled == 0
        content = form.file()
        await anext(content)
        assert pulled <= 2
        await content.aclose()

    run(main())
