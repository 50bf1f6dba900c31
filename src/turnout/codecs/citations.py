"""Where an answer's words come from, in the form OpenAI's clients read. Floor 2.

Formats cite in forms of their own, which stay in the `extra` of the text for clients of the same format. A
codec that knows addresses puts them beside as `annotations`; Anthropic's citations name them in plain sight.
"""

from collections.abc import Mapping, Sequence

from turnout.types.json import Json


def annotations_of(extra: Mapping[str, Json]) -> Sequence[Json]:
    """Return what a text cites, by address; nothing where only places in a document are told."""
    notes = extra.get("annotations")
    if isinstance(notes, list):
        return notes
    cited = extra.get("citations")
    return [
        {"type": "url_citation", "url_citation": {"url": url, "title": each.get("title") or ""}}
        for each in (cited if isinstance(cited, list) else ())
        if isinstance(each, dict) and isinstance(url := each.get("url"), str)
    ]
