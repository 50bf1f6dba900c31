"""Lines of the files that batches are answered with."""

import json

import pytest

from turnout.server.batch_lines import WRITERS
from turnout.server.gemini_batches import joined
from turnout.stores.files.base import Result, Stored

INDENTED = b'{\r\n  "error": {\n    "message": "two\\nlines"\n  }\n}\n'
"""As OpenAI and Google write an answer."""


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("kind", ["succeeded", "errored"])
def test_an_answer_that_a_provider_indented_takes_one_line(form, kind):
    line = WRITERS[form]("batch_1", Stored(1, "{}", Result(kind, 200, "req_1", INDENTED)))
    assert (line.count(b"\n"), line[-1:], b"\r" in line) == (1, b"\n", False)
    assert json.dumps({"message": "two\nlines"}) in json.dumps(json.loads(line))
    assert json.loads(b"[%s]" % joined((line * 2)[:-1])) == [json.loads(line)] * 2
