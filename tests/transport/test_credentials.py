"""A credential goes to the hosts it belongs to and nowhere else (S-10)."""

import pytest

from turnout.errors import ConfigError, Forbidden
from turnout.transport.credentials import authorise_for
from turnout.types.deployment import Credential
from turnout.types.http import HttpRequest
from turnout.types.secret import Secret

KEY = Credential("main", Secret("sk-123"))
HOSTS = ("api.example.com",)


def request(url):
    return HttpRequest("POST", url, (), b"{}")


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ("bearer", (b"authorization", b"Bearer sk-123")),
        ("x-api-key", (b"x-api-key", b"sk-123")),
        ("x-goog-api-key", (b"x-goog-api-key", b"sk-123")),
        ("api-key", (b"api-key", b"sk-123")),
    ],
)
def test_each_style_writes_its_header(auth, header):
    authorise = authorise_for(auth, KEY, HOSTS)
    assert authorise(request("https://api.example.com/v1")) == (header,)


def test_without_a_key_nothing_is_presented():
    for authorise in (
        authorise_for("none", KEY, HOSTS),
        authorise_for("bearer", None, HOSTS),
        authorise_for("bearer", Credential("main", None), HOSTS),
    ):
        assert authorise(request("https://anywhere.example/")) == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://api.example.com.evil.example/",
        "https://api.example.com@evil.example/",
        "https://evil.example/api.example.com",
        "https://sub.api.example.com/",
        "https://127.0.0.1/",
    ],
)
def test_another_host_is_refused_the_key(url):
    authorise = authorise_for("bearer", KEY, HOSTS)
    authorise(request("https://api.example.com/v1"))
    for _ in range(2):
        with pytest.raises(Forbidden) as caught:
            authorise(request(url))
        assert "sk-123" not in caught.value.message


def test_hosts_are_compared_in_one_spelling():
    authorise = authorise_for("bearer", KEY, ("API.Example.com.", "::1", "127.0.0.1"))
    for url in ("https://api.example.com/", "http://[::1]:8000/", "http://127.0.0.1:1/"):
        assert authorise(request(url)) == ((b"authorization", b"Bearer sk-123"),)


def test_a_key_shows_in_no_repr():
    assert repr(authorise_for("bearer", KEY, HOSTS)) == "<credential 'main' for api.example.com>"


@pytest.mark.parametrize("value", ["sk-1\n", "sk-1\r\nx: y", "sk\0", "schlüssel", ""])
def test_a_key_that_cannot_be_a_header_is_refused_at_load(value):
    with pytest.raises(ConfigError) as caught:
        authorise_for("bearer", Credential("main", Secret(value)), HOSTS)
    assert "'main'" in str(caught.value)
    assert "sk" not in str(caught.value)


def test_a_host_that_cannot_be_read_is_refused_at_load():
    with pytest.raises(ConfigError):
        authorise_for("bearer", KEY, ("0x7f.1",))


def test_many_urls_do_not_grow_the_memory():
    authorise = authorise_for("bearer", KEY, HOSTS)
    for number in range(3000):
        authorise(request(f"https://api.example.com/{number}"))
    assert len(authorise._known) <= 1024
