"""AWS keys: where they are kept, and what they sign."""

from datetime import UTC, datetime

import pytest

from turnout.codecs.auth import AwsKeys, Signer
from turnout.errors import ConfigError, Forbidden
from turnout.transport.credentials_aws import secret_in, sign_for
from turnout.types.deployment import Credential
from turnout.types.http import HttpRequest
from turnout.types.secret import Secret

ID, KEY = "AKIDEXAMPLEEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = "bedrock-runtime.eu-west-1.amazonaws.com"
REQUEST = HttpRequest("POST", f"https://{HOST}/model/m/converse", (), b"{}")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def signed(secret, *, region="", host=HOST):
    authorise = sign_for(Credential("aws", Secret(secret)), (host,), region=region, now=lambda: AT)
    return authorise(REQUEST)


def expected(token=None, region="eu-west-1"):
    return Signer(AwsKeys(ID, KEY, token), region=region, service="bedrock").sign(REQUEST, AT)


@pytest.mark.parametrize(
    ("secret", "token"),
    [
        (f"{ID}:{KEY}", None),
        (f"{ID}:{KEY}:dG9rZW4=", "dG9rZW4="),
        (f'{{"AccessKeyId":"{ID}","SecretAccessKey":"{KEY}"}}', None),
        (f'{{"AccessKeyId":"{ID}","SecretAccessKey":"{KEY}","SessionToken":"t"}}', "t"),
    ],
)
def test_keys_sign_for_the_region_in_the_hosts_name(secret, token):
    assert signed(secret) == expected(token)


def test_a_region_that_was_given_wins():
    assert signed(f"{ID}:{KEY}", region="us-east-1") == expected(region="us-east-1")


def test_keys_without_any_region_are_refused():
    with pytest.raises(ConfigError, match="no region to sign for"):
        signed(f"{ID}:{KEY}", host="proxy.test")


def test_an_api_key_is_a_bearer_token():
    assert signed("ABSKabc123") == ((b"authorization", b"Bearer ABSKabc123"),)


def test_keys_sign_for_their_hosts_only():
    authorise = sign_for(Credential("aws", Secret(f"{ID}:{KEY}")), (HOST,), region="x")
    with pytest.raises(Forbidden, match="does not belong"):
        authorise(HttpRequest("POST", "https://elsewhere.test/", ()))
    assert KEY not in repr(authorise)
    assert ID not in repr(authorise)


def test_a_profile_is_read_from_its_file(tmp_path):
    file = tmp_path / "credentials"
    file.write_text(
        f"[dev]\naws_access_key_id = {ID}\naws_secret_access_key = {KEY}\naws_session_token = t%\n"
    )
    secret = secret_in({"AWS_SHARED_CREDENTIALS_FILE": str(file)}, "dev")
    assert signed(secret.reveal()) == expected("t%")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[other]\n", "does not exist"),
        ("[dev]\naws_access_key_id = x\n", "holds no aws_access_key_id and aws_secret_access_key"),
        ("dev = x", "is no INI file"),
        (None, "No such file"),
    ],
)
def test_a_profile_that_cannot_be_used_is_told_without_its_keys(tmp_path, text, problem):
    file = tmp_path / "credentials"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        signed(f"profile:dev:{file}")


def test_broken_json_is_told_without_its_keys():
    with pytest.raises(ConfigError) as caught:
        signed(f'{{"AccessKeyId":"{ID}","SecretAccessKey":7}}')
    assert ID not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "profile", "secret"),
    [
        ({}, None, None),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, None, "a:b"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}, None, "a:b:c"),
        (
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "HOME": "/h"},
            "p",
            "profile:p:/h/.aws/credentials",
        ),
        ({"AWS_PROFILE": "p", "HOME": "/h"}, None, "profile:p:/h/.aws/credentials"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "/f", "AWS_PROFILE": "p"}, None, "profile:p:/f"),
    ],
)
def test_keys_are_looked_for_where_users_keep_them(env, profile, secret):
    found = secret_in(env, profile)
    assert (found.reveal() if found is not None else None) == secret
