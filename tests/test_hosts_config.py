"""How a configuration names a cloud, and what is told of one that cannot be used."""

import pytest

from turnout.catalog.catalog import Catalog
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.parts import credentials, egress

CATALOG = Catalog.load()
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLEEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"}


def compiled(text, env=None):
    return compile_snapshot(parse_config(text, env={}), CATALOG, env or {})


def only(text, env=None):
    (deployment,) = compiled(text, env).deployments.values()
    return deployment


def problems(text, env=None):
    with pytest.raises(ConfigError) as caught:
        compiled(text, env)
    return caught.value.problems


def test_a_row_of_the_catalogue_takes_its_place_from_the_configuration():
    found = only(
        """
providers: {vertex_ai: {project: p, region: global, secret: "{}"}}
models: [vertex_ai/gemini-2.5-flash]
"""
    )
    assert found.url == "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
    assert (found.vendor.codec, found.vendor.host, found.vendor.auth) == ("gemini", "vertex", "google")


def test_a_row_of_the_catalogue_takes_its_place_and_its_keys_from_the_environment():
    found = only("models: [bedrock/amazon.nova-lite-v1:0]", {**KEYS, "AWS_REGION": "eu-west-1"})
    assert found.url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert (found.vendor.region, found.upstream_model) == ("eu-west-1", "amazon.nova-lite-v1:0")
    assert found.credential.secret.reveal() == ":".join(KEYS.values())


def test_an_api_key_wins_over_signing_keys_and_a_profile_over_both():
    env = {**KEYS, "AWS_REGION": "eu-west-1", "AWS_BEARER_TOKEN_BEDROCK": "b", "HOME": "/h"}
    profile = "providers: {bedrock: {profile: dev}}\nmodels: [bedrock/m]"
    assert only("models: [bedrock/m]", env).credential.secret.reveal() == "b"
    assert only(profile, env).credential.secret.reveal() == "profile:dev:/h/.aws/credentials"


def test_azure_is_addressed_by_deployment_where_a_version_is_named():
    text = "providers: {azure: {resource: r, api_version: '2024-10-21', secret: k}}\nmodels: [azure/gpt-4o]"
    vendor = only(text).vendor
    assert (vendor.base_url, vendor.host, vendor.api_version) == (
        "https://r.openai.azure.com/openai/v1",
        "azure",
        "2024-10-21",
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            "{host: vertex, base_url: 'https://x.test', codec: cohere}",
            "providers.x.host: vertex carries anthropic or gemini, not cohere; set codec",
        ),
        (
            "{base_url: 'https://x.test', api_version: '1'}",
            "providers.x.api_version: only the host azure has versions; set host, or leave it out",
        ),
        (
            "{base_url: 'https://x.test', profile: dev}",
            "providers.x.profile: only auth sigv4 reads a profile; this provider's is none",
        ),
        (
            "{vendor: bedrock, secret: k}",
            (
                "providers.x.parameters: 'region' is missing; "
                "the address is https://bedrock-runtime.{region}.amazonaws.com"
            ),
        ),
    ],
)
def test_what_does_not_fit_is_told_when_the_configuration_is_read(row, problem):
    assert problems(f"providers: {{x: {row}}}\nmodels: [x/m]")[0] == problem


def test_a_host_nobody_knows_is_told_with_those_there_are():
    with pytest.raises(ConfigError, match=r"providers.x.host"):
        parse_config("providers: {x: {host: moon}}", env={})


def test_keys_that_are_nowhere_are_asked_for():
    (line,) = problems("models: [bedrock/m]", {"AWS_REGION": "eu-west-1"})
    assert line.startswith("providers.bedrock: no credential; set AWS_BEARER_TOKEN_BEDROCK")


def test_a_vendor_whose_place_is_unknown_is_not_served_unasked():
    found = compiled("{}", {"AWS_BEARER_TOKEN_BEDROCK": "b", "OPENAI_API_KEY": "k"})
    assert {deployment.vendor.name for deployment in found.deployments.values()} == {"openai"}


def test_the_endpoint_of_tokens_is_an_allowed_destination_and_deployments_share_a_login(tmp_path):
    login = tmp_path / "login.json"
    login.write_text(
        '{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"r"}', encoding="utf-8"
    )
    text = f"""
providers: {{vertex_ai: {{project: p, region: eu, secret: {login}}}}}
models: [vertex_ai/a, vertex_ai/b]
"""
    config = parse_config(text, env={})
    snapshot = compiled(text)
    allowed = {str(origin) for origin in egress(config, snapshot).origins}
    presented = credentials(snapshot)
    assert allowed == {"https://eu-aiplatform.googleapis.com", "https://oauth2.googleapis.com"}
    assert presented["vertex_ai/a"] is presented["vertex_ai/b"]
