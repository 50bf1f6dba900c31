"""Anthropic's files by its own client, and files in the place of their ids, for every upstream."""

import base64
from contextlib import asynccontextmanager

import anthropic
import openai
import pytest

from tests.server.kit import call
from tests.server.test_openai_responses import asked, running
from turnout.server.opened import open_beside
from turnout.testing.emulator.tasks import PICTURE
from turnout.types.chat import Media

PDF = b"%PDF-1.4\n%%EOF\n"
ANN, BOB = "sk-ann-0123456789abc", "sk-bob-0123456789abc"
KEYS = f"keys: [{{name: ann, secret: {ANN}}}, {{name: bob, secret: {BOB}}}]"
UPSTREAMS = ("oai/one", "ant/one", "gem/one", "res/one")


@asynccontextmanager
async def keeping(tmp_path, extra="", **options):
    async with running(f"files: {{path: {tmp_path}/files}}\n{extra}", **options) as rig:
        open_beside(rig.built, rig.gateway)
        yield rig


def client(rig, key="unused", base=""):
    return anthropic.AsyncAnthropic(base_url=rig.url + base, api_key=key, max_retries=0)


def turn(*blocks):
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": "What is it?"}]}]


def shown(request):
    """Return the documents and pictures that an upstream was shown."""
    parts = [part for message in request.messages for part in message.parts if isinstance(part, Media)]
    return [(part.kind, part.mime, part.data or part.text) for part in parts]


async def test_files_are_uploaded_listed_fetched_and_deleted(tmp_path):
    async with keeping(tmp_path) as rig, client(rig) as ai, client(rig, base="/anthropic") as other:
        first = await ai.beta.files.upload(file=("a.txt", b"first", "text/plain"))
        second = await other.files.upload(file=("b.pdf", PDF, "application/pdf"), expires_in_seconds=3600)
        names = [[each.filename async for each in ai.beta.files.list(limit=1)]]
        names.append([each.filename async for each in ai.files.list(ids=[first.id, "file-none"])])
        before = await call(
            rig, f"/v1/files?before_id={first.id}", None, "anthropic-version: 2023-06-01", method="GET"
        )
        again = await ai.files.retrieve_metadata(first.id)
        content = await (await ai.files.download(first.id)).read()
        gone = await ai.files.delete(first.id)
        with pytest.raises(anthropic.NotFoundError, match="No such File object"):
            await ai.files.retrieve_metadata(first.id)
        with pytest.raises(anthropic.BadRequestError, match="expires_in_seconds"):
            await ai.files.upload(file=("a.txt", b"x"), expires_in_seconds=1)
        async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="unused") as theirs:
            seen = [(each.id, each.purpose) async for each in await theirs.files.list()]
    assert (first.filename, first.mime_type, first.size_bytes, first.type) == (
        "a.txt",
        "text/plain",
        5,
        "file",
    )
    assert (second.expires_at - second.created_at).total_seconds() == 3600
    newest, oldest = sorted((first, second), key=lambda each: each.id, reverse=True)
    assert names == [[newest.filename, oldest.filename], ["a.txt"]]
    assert [each["id"] for each in before.json()["data"]] == [second.id][: newest is second]
    assert (again.id, again.created_at, content) == (first.id, first.created_at, b"first")
    assert (gone.id, gone.type) == (first.id, "file_deleted")
    assert seen == [(second.id, "user_data")]


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_every_upstream_is_shown_what_a_message_names(tmp_path, model):
    async with keeping(tmp_path) as rig, client(rig) as ai:
        pdf = await ai.files.upload(file=("a.pdf", PDF, "application/pdf"))
        picture = await ai.files.upload(file=("b.png", PICTURE, "image/png"))
        seen = asked(rig, model)
        blocks = [
            {"type": "document", "source": {"type": "file", "file_id": pdf.id}},
            {"type": "image", "source": {"type": "file", "file_id": picture.id}},
        ]
        told = {"model": model, "messages": turn(*blocks)}
        answer = await ai.messages.create(max_tokens=100, **told)
        counted = await ai.messages.count_tokens(**told)
    assert answer.content[0].text == "ok"
    assert shown(seen[0]) == [
        ("document", "application/pdf", base64.b64encode(PDF).decode()),
        ("image", "image/png", base64.b64encode(PICTURE).decode()),
    ]
    assert counted.input_tokens > 0


async def test_text_is_shown_as_text_and_what_nobody_can_show_is_refused(tmp_path):
    async with keeping(tmp_path) as rig, client(rig) as ai:
        seen = asked(rig, "ant/one")

        async def ask(kind, name, content, mime):
            file = await ai.files.upload(file=(name, content, mime))
            source = {"type": "file", "file_id": file.id}
            block = {"type": kind, "file_id": file.id} if kind == "container_upload" else {"type": kind}
            block |= {} if kind == "container_upload" else {"source": source}
            await ai.messages.create(model="ant/one", max_tokens=100, messages=turn(block))

        await ask("document", "a.csv", b"item,value\napple,30\n", "text/csv")
        for wrong in (
            ("document", "a.bin", b"\xff\xfe", "application/octet-stream"),
            ("image", "a.txt", b"words", "text/plain"),
            ("document", "a.png", PICTURE, "image/png"),
            ("container_upload", "a.csv", b"a,b", "text/csv"),
        ):
            with pytest.raises(anthropic.BadRequestError, match="file-"):
                await ask(*wrong)
    assert [shown(each) for each in seen] == [[("document", "text/plain", "item,value\napple,30\n")]]


async def test_anothers_file_is_none(tmp_path):
    async with keeping(tmp_path, server=KEYS) as rig, client(rig, ANN) as ann, client(rig, BOB) as bob:
        file = await ann.files.upload(file=("a.txt", b"secret words", "text/plain"))
        with pytest.raises(anthropic.NotFoundError):
            await bob.files.retrieve_metadata(file.id)
        seen = asked(rig, "ant/one")
        block = {"type": "document", "source": {"type": "file", "file_id": file.id}}
        await bob.messages.create(model="ant/one", max_tokens=100, messages=turn(block))
        with pytest.raises(anthropic.AuthenticationError):
            await client(rig, "sk-nobody").files.upload(file=("a.txt", b"x"))
    assert shown(seen[0]) == [("document", None, None)]


async def test_numbers_of_any_length_and_kinds_that_are_none_are_refused(tmp_path):
    many, long = "0" * 8 + "1" * 30, "1" * 5000
    paths = [
        f"/v1/{path}={number}"
        for path in ("files?limit", "conversations/no/items?limit")
        for number in (many, long)
    ]
    odd = {"type": ["file"], "file": {"file_id": "file-1"}, "file_id": "file-1"}
    async with keeping(tmp_path) as rig, client(rig) as ai:
        told = [(await call(rig, path, None, method="GET")).status for path in paths]
        body = {"model": "oai/one", "messages": [{"role": "user", "content": [odd]}]}
        refused = await call(rig, "/v1/chat/completions", body)
        with pytest.raises(anthropic.BadRequestError, match="expires_in_seconds"):
            await ai.files.upload(file=("a.txt", b"x"), expires_in_seconds="000003600" + "9" * 30)
    assert (told, refused.status) == ([400] * len(paths), 400)


async def test_openais_formats_name_files_likewise(tmp_path):
    async with (
        keeping(tmp_path) as rig,
        openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="unused", max_retries=0) as ai,
    ):
        pdf = await ai.files.create(file=("a.pdf", PDF), purpose="user_data")
        picture = await ai.files.create(file=("b.png", PICTURE), purpose="vision")
        seen = asked(rig, "ant/one")
        part = {"type": "file", "file": {"file_id": pdf.id}}
        words = {"type": "text", "text": "What is it?"}
        await ai.chat.completions.create(
            model="ant/one", messages=[{"role": "user", "content": [part, words]}]
        )
        named = [
            {"type": "input_file", "file_id": pdf.id},
            {"type": "input_image", "file_id": picture.id, "detail": "auto"},
        ]
        await ai.responses.create(model="ant/one", input=[{"role": "user", "content": named}])
    document = ("document", "application/pdf", base64.b64encode(PDF).decode())
    image = ("image", "image/png", base64.b64encode(PICTURE).decode())
    assert [shown(each) for each in seen] == [[document], [document, image]]
