"""AWS Signature Version 4 against the published test suite and the worked example of the reference."""

from datetime import UTC, datetime

import pytest

from turnout.codecs.auth import AwsKeys, Signer
from turnout.types.http import HttpRequest

KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
HERE = "https://example.amazonaws.com/"
FORM = (b"content-type", b"application/x-www-form-urlencoded")


def said(request, keys=KEYS, service="service", at=AT):
    return dict(Signer(keys, region="us-east-1", service=service).sign(request, at))


@pytest.mark.parametrize(
    ("name", "request_", "signature"),
    [
        (
            "get-vanilla",
            HttpRequest("GET", HERE, ()),
            b"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "post-vanilla",
            HttpRequest("POST", HERE, ()),
            b"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "get-vanilla-query-order-key-case",
            HttpRequest("GET", HERE + "?Param2=value2&Param1=value1", ()),
            b"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "post-x-www-form-urlencoded",
            HttpRequest("POST", HERE, (FORM,), b"Param1=value1"),
            b"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)
def test_a_published_vector_is_signed_as_published(name, request_, signature):
    assert said(request_)[b"authorization"].rpartition(b"=")[2] == signature, name


def test_the_worked_example_of_the_reference_comes_out_whole():
    kind = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")
    request = HttpRequest("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", (kind,))
    assert said(request, service="iam") == {
        b"x-amz-date": b"20150830T123600Z",
        b"authorization": b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        b"SignedHeaders=content-type;host;x-amz-date, "
        b"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }


def test_a_session_token_is_signed_and_sent():
    keys = AwsKeys(KEYS.access_key, KEYS.secret_key, "the-token")
    headers = said(HttpRequest("GET", HERE, ()), keys)
    assert headers[b"x-amz-security-token"] == b"the-token"
    assert b"SignedHeaders=host;x-amz-date;x-amz-security-token" in headers[b"authorization"]


def test_an_id_in_the_path_is_encoded_again_for_the_signature():
    once = said(HttpRequest("POST", HERE + "model/a%3A0/converse", ()))
    plain = said(HttpRequest("POST", HERE + "model/a:0/converse", ()))
    assert once != plain


def test_a_port_belongs_to_the_host_unless_it_is_the_schemes_own():
    own = said(HttpRequest("POST", "https://example.amazonaws.com:443/", ()))
    other = said(HttpRequest("POST", "https://example.amazonaws.com:8443/", ()))
    assert own == said(HttpRequest("POST", HERE, ()))
    assert other != own


def test_the_key_of_a_day_is_made_anew_the_next_day():
    signer = Signer(KEYS, region="us-east-1", service="service")
    request = HttpRequest("GET", HERE, ())
    first = signer.sign(request, AT)
    assert signer.sign(request, AT.replace(day=31)) != first
    assert signer.sign(request, AT) == first


def test_nothing_of_the_keys_shows():
    shown = f"{KEYS!r} {KEYS} {Signer(KEYS, region='eu-west-1', service='bedrock')!r}"
    assert shown == "AwsKeys(***) AwsKeys(***) <signer for bedrock in eu-west-1>"
