"""Egress rules S-50 to S-53."""

from ipaddress import ip_address

import pytest

from turnout.errors import ConfigError, Forbidden, ProviderUnreachable
from turnout.transport.guard import Egress, Guard, Origin, egress_for, parse_url, refusal

API = Origin("https", "api.example.com", 443)
LOCAL = Origin("http", "127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://api.example.com/v1/chat?beta=true", API, "/v1/chat?beta=true"),
        ("HTTPS://API.Example.COM.:443", API, "/"),
        ("https://api.example.com?x=1", API, "/?x=1"),
        ("http://127.0.0.1:8080/", LOCAL, "/"),
        ("https://[2606:4700:0::1111]:8443/a", Origin("https", "2606:4700::1111", 8443), "/a"),
        ("https://bücher.example/", Origin("https", "xn--bcher-kva.example", 443), "/"),
        ("https://my_host-1.example/", Origin("https", "my_host-1.example", 443), "/"),
    ],
)
def test_a_url_is_read_into_one_spelling(url, origin, target):
    assert parse_url(url) == (origin, target)


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.01/",
        "http://127.0.0.1.5/",
        "http://１２７.1/",  # full-width digits become ASCII under IDNA
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://api.example.com%2f/",
        "http://user@api.example.com/",
        "http://user:pass@api.example.com/",
        "http://api.example.com\\@evil.example/",
        "http://api.example.com:80:81/",
        "http://api.example.com:0/",
        "http://api.example.com:70000/",
        "http://api.example.com:٨٠/",
        "http:///path",
        "http://.example/",
        "http://a..b/",
        "http://-a.example/",
        "http://[::1/",
        "http://[127.0.0.1]/",
        "http://::1/",
        "ftp://api.example.com/",
        "file:///etc/passwd",
        "gopher://api.example.com/",
        "//api.example.com/",
        "api.example.com",
        "https://api.example.com/a b",
        "https://api.example.com/a\r\nx: y",
        "https://api.example.com/ü",
        "https://api.example.com/#fragment",
        "https://api.example.com\n/",
        "https://api.exa mple.com/",
        "",
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url):
    with pytest.raises(Forbidden):
        parse_url(url)


def test_a_refused_url_is_not_quoted_with_its_query():
    with pytest.raises(Forbidden) as caught:
        parse_url("https://user@api.example.com/?key=sk-secret")
    assert "sk-secret" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
        ("64:ff9b::808:808", None),
        ("127.0.0.1", "loopback"),
        ("127.255.0.3", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.32.0.1", None),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link-local"),
        ("168.63.129.16", "cloud metadata"),
        ("fe80::1", "link-local"),
        ("fd00:ec2::254", "unique-local"),
        ("fec0::1", "site-local"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.100.100.200", "carrier-grade NAT"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("192.0.2.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("2001:0:4136:e378::1", "reserved"),
        ("100::1", "reserved"),
        ("::7f00:1", "reserved"),
        ("::ffff:127.0.0.1", "IPv4-mapped form of loopback"),
        ("::ffff:169.254.169.254", "IPv4-mapped form of link-local"),
        ("::ffff:0:10.0.0.1", "IPv4-translated form of private"),
        ("64:ff9b::a00:1", "NAT64 form of private"),
        ("64:ff9b:1::a00:1", "reserved"),
        ("2002:7f00:1::", "6to4 form of loopback"),
        ("2002:a9fe:a9fe::", "6to4 form of link-local"),
    ],
)
def test_addresses_that_are_not_public_have_a_reason(address, reason):
    assert refusal(ip_address(address)) == reason


def test_only_configured_origins_are_admitted():
    guard = Guard(egress_for(["https://api.example.com/v1"]))
    guard.admit(API)
    for other in (
        Origin("https", "api.example.com", 8443),
        Origin("http", "api.example.com", 443),
        Origin("https", "evil.example", 443),
        Origin("https", "api.example.com.evil.example", 443),
    ):
        with pytest.raises(Forbidden, match="not a configured destination"):
            guard.admit(other)


def test_plain_http_needs_loopback_or_leave():
    urls = ["http://vllm.example", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"]
    guard = Guard(Egress(origins=frozenset(parse_url(url)[0] for url in urls)))
    assert [guard.admits(parse_url(url)[0]) for url in urls] == [False, True, True, True]
    assert Guard(egress_for(urls, allow_http=["VLLM.example."])).admits(parse_url(urls[0])[0])


def test_every_address_of_an_answer_must_be_public():
    guard = Guard(egress_for(["https://api.example.com"]))
    guard.check(API, ["8.8.8.8", "2606:4700::1111"])
    with pytest.raises(Forbidden, match=r"api\.example\.com resolves to 10\.0\.0\.7, which is private"):
        guard.check(API, ["8.8.8.8", "10.0.0.7"])
    with pytest.raises(Forbidden, match="scoped to a zone"):
        guard.check(API, ["fe80::1%2"])


def test_loopback_is_reached_only_when_the_operator_wrote_it():
    guard = Guard(egress_for(["http://127.0.0.1:8080", "https://api.example.com"]))
    guard.check(LOCAL, ["127.0.0.1"])
    guard.check(Origin("http", "localhost", 1), ["127.0.0.1", "::1"])
    for origin, address in (
        (API, "127.0.0.1"),
        (LOCAL, "10.0.0.1"),
        (LOCAL, "169.254.169.254"),
        (Origin("http", "localhost", 1), "10.0.0.1"),
    ):
        with pytest.raises(Forbidden):
            guard.check(origin, [address])


def test_allowed_networks_open_what_they_name_and_no_more():
    guard = Guard(egress_for(["https://gpu.internal"], allow_cidrs=["10.20.0.0/16", "fd12::/32"]))
    origin = Origin("https", "gpu.internal", 443)
    guard.check(origin, ["10.20.3.4", "fd12::9", "::ffff:10.20.3.4"])
    for address in ("10.21.0.1", "fd13::1", "::ffff:10.21.0.1", "127.0.0.1"):
        with pytest.raises(Forbidden):
            guard.check(origin, [address])


def test_the_peer_must_be_the_address_judged():
    guard = Guard(egress_for(["https://api.example.com"]))
    guard.peer(API, "2606:4700:0::1111", ("2606:4700::1111", 443))
    with pytest.raises(Forbidden, match=r"dialled 8\.8\.8\.8 but the connection's peer is 10\.0\.0\.1"):
        guard.peer(API, "8.8.8.8", ("10.0.0.1", 443))
    with pytest.raises(ProviderUnreachable, match="closed at once"):
        guard.peer(API, "8.8.8.8", None)


def test_every_problem_of_the_configuration_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        egress_for(["ftp://a.example", "https://b.example", "http://0x7f.1/"], allow_http=["a b"])
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigError, match="allow_cidrs"):
        Guard(Egress(origins=frozenset(), allow_cidrs=("10.0.0.1/8",)))


def test_a_destination_that_could_never_be_reached_is_a_problem_of_the_configuration():
    with pytest.raises(ConfigError) as caught:
        egress_for(["http://vllm.example/v1", "https://10.0.0.7", "http://127.0.0.1:1", "https://b.example"])
    assert caught.value.problems == (
        "http://vllm.example: plain HTTP is allowed to loopback or with allow_http only",
        "10.0.0.7 is private; see egress.allow_cidrs",
    )
    egress_for(["http://10.0.0.7"], allow_http=["10.0.0.7"], allow_cidrs=["10.0.0.0/24"])


def test_the_host_header_names_the_port_only_when_it_is_unusual():
    assert API.authority == "api.example.com"
    assert Origin("https", "api.example.com", 80).authority == "api.example.com:80"
    assert Origin("http", "::1", 80).authority == "[::1]"
