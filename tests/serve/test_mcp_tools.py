"""The tools of `vmr mcp`, called as a client of the protocol calls them."""

import pytest

pytest.importorskip("mcp", reason="needs the extra mcp")

import anyio
from mcp import Client

from tests.serve.served import films, index  # noqa: F401
from tests.video_index.small import DOOR, known
from vmr_jax.serve.tools import make_tools


def test_an_assistant_searches_and_finds(index, monkeypatch):  # noqa: F811
    known(monkeypatch)

    async def session():
        async with Client(make_tools(index)) as client:
            listed = await client.list_tools()
            everywhere = await client.call_tool("search", {"sentence": DOOR, "top": 2})
            alone = await client.call_tool("find", {"sentence": DOOR, "video": "film2"})
            wrong = await client.call_tool("find", {"sentence": DOOR, "video": "other"})
            return [tool.name for tool in listed.tools], everywhere, alone, wrong

    names, everywhere, alone, wrong = anyio.run(session)
    assert names == ["search", "find"]
    assert len(everywhere.structured_content["moments"]) == 2
    assert {one["video"] for one in alone.structured_content["moments"]} == {"film2"}
    assert wrong.is_error and "no video 'other' in the index" in wrong.content[0].text
