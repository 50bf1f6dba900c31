"""From a table to a live decision: fitted by the command, named in a configuration, deciding."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from click.testing import CliRunner

from turnout.build import decide
from turnout.cli.check import check, learned_warnings
from turnout.cli.fit_learned import learned
from turnout.compile import compile_snapshot
from turnout.config import load_config
from turnout.errors import ConfigError
from turnout.learn.artifact import decode_card
from turnout.parts import load_catalog
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text

POEM, SUM = "write a sonnet about the sea number", "solve the equation for x number"
CONFIG = """
version: 1
providers:
  acme: {base_url: "http://127.0.0.1:9/v1"}
models:
  - {model: acme/large, price: {input: 1, output: 1}}
  - {model: acme/small, price: {input: 1, output: 1}}
routes:
  - name: r
    models: [acme/large, acme/small]
    strategy: {type: learned, artifact: models/mine.npz, lambda: 0, mu: 0, on_expired: warn}
default_route: r
"""


@pytest.fixture
def folder(tmp_path):
    rows = [
        {"prompt": f"{text} {i}", "model": model, "score": float(good == model), "domain": text[:5]}
        for i in range(60)
        for text, good in ((POEM, "acme/small"), (SUM, "acme/large"))
        for model in ("acme/large", "acme/small")
    ]
    table = tmp_path / "table.jsonl"
    table.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    out = tmp_path / "models" / "mine.npz"
    result = CliRunner().invoke(
        learned, ["--data", str(table), "--out", str(out), "--no-leave-domain-out"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    (tmp_path / "turnout.yaml").write_text(CONFIG)
    return tmp_path


def asked(folder, text):
    request = ChatRequest(model="auto", messages=(Message("user", (Text(text),)),))
    return decide(load_config(folder / "turnout.yaml"), {}, request, Ask(request_id="req_0"))


def test_words_decide_which_model_answers(folder):
    assert asked(folder, f"{POEM} 99").chosen[0] == "acme/small"
    assert asked(folder, f"{SUM} 99").chosen[0] == "acme/large"
    assert asked(folder, f"{SUM} 99").abstained is None


def test_a_request_unlike_the_data_is_recorded_as_abstained(folder):
    assert asked(folder, "qu'est-ce que c'est?").abstained == "out_of_domain"


def change(folder, **fields):
    card = folder / "models" / "mine.json"
    card.write_bytes(msgspec.json.encode(msgspec.structs.replace(decode_card(card.read_bytes()), **fields)))


def test_another_encoder_or_other_arrays_are_refused_with_path_and_reason(folder):
    change(folder, npz_sha256="0" * 64, canonicaliser="0")
    with pytest.raises(ConfigError) as caught:
        asked(folder, SUM)
    path = f"routes[0].strategy.artifact: {folder / 'models' / 'mine.npz'}"
    assert [line.partition(": it was")[0] for line in caught.value.problems] == [
        f"{path}: canonicaliser",
        f"{path}: npz_sha256: the arrays are not the ones that the card was written for",
    ]


def test_a_missing_file_is_a_line_with_its_path(folder):
    (folder / "models" / "mine.json").unlink()
    with pytest.raises(ConfigError, match=r"routes\[0\].strategy.artifact: .*mine.json cannot be read"):
        asked(folder, SUM)


def test_check_tells_of_the_end_and_of_silence(folder):
    change(folder, expires=datetime.now(UTC) - timedelta(days=2), abstain_reason="no edge")
    config = load_config(folder / "turnout.yaml")
    snapshot = compile_snapshot(config, load_catalog(config), {}, credentials=False)
    ended, silent = learned_warnings(snapshot.routes.values())
    assert "mine.npz expired on" in ended
    assert silent.endswith("abstains: no edge; the best single model is used")
    assert check.name == "check"
