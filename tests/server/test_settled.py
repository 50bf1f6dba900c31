"""A configuration is read when whoever writes it is done."""

import asyncio

from turnout.server.serve import Source, settled


async def test_a_file_that_was_emptied_first_is_waited_for(tmp_path):
    path = tmp_path / "turnout.yaml"
    path.write_text("models: []")
    source = Source(path)
    seen = source.stamp()
    assert await settled(source, seen) == seen
    path.write_text("")
    found = asyncio.create_task(settled(source, seen))
    await asyncio.sleep(0)  # it has seen the empty one
    path.write_text("models: []\naliases: {}")
    assert await found == source.stamp()
