"""What guards found, and reviews of it, over the admin API."""

from tests.server.admin.kit import CHAT, desked

GUARDS = """
guards:
  rules:
    - {name: keys, guard: {type: words, words: [sesame]}, mode: block, stages: [in], everywhere: true}
    - {name: watch, guard: {type: pii}, mode: monitor, stages: [in], everywhere: true}
"""


async def test_hits_are_counted_listed_and_reviewed_within_an_organisation(tmp_path):
    async with desked(tmp_path, extra=GUARDS) as gateway:
        await gateway.issue("other caller", role="call", organisation="other")
        for key, text in (
            ("call", "mail jo@example.org"),
            ("call", "open sesame"),
            ("call", "hello"),
            ("other caller", "mail al@example.org"),
        ):
            body = {**CHAT, "messages": [{"role": "user", "content": text}]}
            bearer = {"authorization": f"Bearer {gateway.keys[key]}"}
            await gateway.http.post("/v1/chat/completions", json=body, headers=bearer)
        await gateway.rig.journal.flush()
        seen = (await gateway.call("viewer", "GET", "/guards")).json()
        hit = next(each for each in seen["latest"] if each["guard"] == "watch")
        word = {"request_id": hit["request_id"], "guard": "watch", "verdict": "false_alarm"}
        said = await gateway.call("operator", "POST", "/guards/review", word)
        nothing = await gateway.call("operator", "POST", "/guards/review", {**word, "guard": "keys"})
        foreign = (await gateway.call("owner", "GET", "/guards?organisation=other")).json()["latest"][0]
        theirs = {**word, "request_id": foreign["request_id"]}
        hidden = await gateway.call("operator", "POST", "/guards/review", theirs)
        after = (await gateway.call("viewer", "GET", "/guards")).json()
        bad = await gateway.call("viewer", "GET", "/guards?step=year")
    assert [(g["name"], g["type"], g["mode"], g["asked"], g["hits"], g["kinds"]) for g in seen["guards"]] == [
        ("keys", "words", "block", 3, 1, {"word": 1}),
        ("watch", "pii", "monitor", 2, 1, {"email": 1}),
    ]
    assert (seen["looked_at"], seen["complete"], len(seen["latest"])) == (3, True, 2)
    assert {each["guard"]: each["hits"] for each in seen["series"]} == {"keys": 1, "watch": 1}
    assert (said.status_code, nothing.status_code, hidden.status_code, bad.status_code) == (
        201,
        400,
        404,
        400,
    )
    assert [(g["reviewed"], g["false_alarm_rate"]) for g in after["guards"]] == [(0, None), (1, 1.0)]
    assert next(each["review"] for each in after["latest"] if each["guard"] == "watch") == "false_alarm"
    assert "example.org" not in str(after)
    assert "sesame" not in str(after)
