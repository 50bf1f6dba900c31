"""The forms of credentials, as data. Floor 2.

A row is (kind, anchors, form, source). `anchors` are fixed strings one of which every credential of the row
holds; only where one stands is the form tried. `form` is a regular expression of ASCII without surroundings.
`lead` characters may stand before the anchor. There are no rules of entropy: a random string is no secret
until something says whose it is.

Sources are the vendors' own descriptions of their tokens, seen 2026-11 unless a date is given.
"""

from typing import Final

from msgspec import Struct


class Row(Struct, frozen=True):
    """The form of one credential."""

    kind: str
    anchors: tuple[str, ...]
    form: str
    source: str
    lead: int = 0
    """Most characters of the credential before its anchor."""


W: Final = "[A-Za-z0-9_-]"
A: Final = "[A-Za-z0-9]"
H: Final = "[0-9a-f]"
_GITHUB: Final = "GitHub Docs, About authentication: token formats"
_GITLAB: Final = "GitLab Docs, Token overview: token prefixes"
_SLACK: Final = "Slack API, Token types"
_STRIPE: Final = "Stripe Docs, API keys"
_SHOPIFY: Final = "Shopify changelog, API authentication token length and prefix"
_DO: Final = "DigitalOcean Docs, API token prefixes"
_AZURE: Final = "Microsoft Purview, sensitive information type definitions"
_BEGIN: Final = "-----BEGIN"
_PEM: Final = "RFC 7468, textual encodings"

ROWS: Final[tuple[Row, ...]] = (
    # Clouds
    Row(
        "aws_access_key",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
        "AWS IAM, unique id prefixes",
    ),
    Row(
        "aws_secret_key",
        ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        r"(?:aws_secret_access_key|AWS_SECRET_ACCESS_KEY|SecretAccessKey)[\"' ]{0,3}[=:][\"' ]{0,3}"
        r"[A-Za-z0-9/+]{40}",
        "AWS CLI, configuration file settings",
    ),
    Row("aws_bedrock_key", ("ABSK",), r"ABSK[A-Za-z0-9+/]{109,269}={0,2}", "Amazon Bedrock, API keys"),
    Row("google_api_key", ("AIza",), r"AIza[0-9A-Za-z_-]{35}", "Google Cloud, API keys overview"),
    Row("google_client_secret", ("GOCSPX-",), rf"GOCSPX-{W}{{28}}", "Google Identity, OAuth client secrets"),
    Row("google_oauth_token", ("ya29.",), rf"ya29\.{W}{{20,400}}", "Google Identity, access tokens"),
    Row("azure_storage_key", ("AccountKey=",), r"AccountKey=[A-Za-z0-9+/]{86}==", _AZURE),
    Row("azure_client_secret", ("8Q~", "7Q~"), r"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}", _AZURE, 3),
    Row("azure_sas", ("sig=",), r"sig=[A-Za-z0-9%]{43,63}%3[dD]", "Azure Storage, service SAS"),
    Row("digitalocean_token", ("dop_v1_",), rf"dop_v1_{H}{{64}}", _DO),
    Row("digitalocean_oauth", ("doo_v1_", "dor_v1_"), rf"do[or]_v1_{H}{{64}}", _DO),
    Row("cloudflare_ca_key", ("v1.0-",), rf"v1\.0-{H}{{24}}-{H}{{146}}", "Cloudflare, origin CA keys"),
    Row("heroku_key", ("HRKU-AA",), rf"HRKU-AA{W}{{58}}", "Heroku Dev Center, API key format"),
    Row(
        "planetscale_token",
        ("pscale_",),
        r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}",
        "PlanetScale, service tokens",
    ),
    Row("supabase_token", ("sbp_",), rf"sbp_{H}{{40}}", "Supabase, management API"),
    Row("databricks_token", ("dapi",), rf"dapi{H}{{32}}(?:-[0-9])?", "Databricks, personal access tokens"),
    Row("alibaba_key", ("LTAI",), rf"LTAI{A}{{20}}", "Alibaba Cloud, AccessKey pairs"),
    Row("tencent_key", ("AKID",), rf"AKID{A}{{32}}", "Tencent Cloud, CAM access keys"),
    # Code and its tools
    Row("github_token", ("ghp_",), rf"ghp_{A}{{36}}", _GITHUB),
    Row("github_oauth", ("gho_",), rf"gho_{A}{{36}}", _GITHUB),
    Row("github_user_token", ("ghu_",), rf"ghu_{A}{{36}}", _GITHUB),
    Row("github_app_token", ("ghs_",), rf"ghs_{A}{{36}}", _GITHUB),
    Row("github_refresh_token", ("ghr_",), rf"ghr_{A}{{36,76}}", _GITHUB),
    Row("github_fine_grained", ("github_pat_",), rf"github_pat_{A}{{22}}_{A}{{59}}", _GITHUB),
    Row("gitlab_token", ("glpat-",), rf"glpat-{W}{{20}}(?:{W}{{7}}\.[0-9a-z]{{2}}\.[0-9a-z]{{9}})?", _GITLAB),
    Row("gitlab_deploy_token", ("gldt-",), rf"gldt-{W}{{20}}", _GITLAB),
    Row("gitlab_runner_token", ("glrt-",), rf"glrt-{W}{{20}}", _GITLAB),
    Row("gitlab_trigger_token", ("glptt-",), rf"glptt-{H}{{40}}", _GITLAB),
    Row("gitlab_oauth_secret", ("gloas-",), rf"gloas-{H}{{64}}", _GITLAB),
    Row("atlassian_token", ("ATATT3",), r"ATATT3[A-Za-z0-9_=-]{186}", "Atlassian support, API tokens"),
    Row("bitbucket_password", ("ATBB",), r"ATBB[A-Za-z0-9]{32}", "Atlassian support, app passwords"),
    Row("npm_token", ("npm_",), rf"npm_{A}{{36}}", "GitHub blog, npm token format, 2021-09"),
    Row(
        "pypi_token",
        ("pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZ"),
        rf"pypi-(?:AgEIcHlwaS5vcmc|AgENdGVzdC5weXBpLm9yZ){W}{{50,400}}",
        "PyPI help, API tokens",
    ),
    Row("rubygems_key", ("rubygems_",), rf"rubygems_{H}{{48}}", "RubyGems guides, API key"),
    Row("crates_token", ("cio",), rf"cio{A}{{32}}", "Cargo, API tokens"),
    Row("docker_token", ("dckr_pat_",), rf"dckr_pat_{W}{{27}}", "Docker Docs, personal access tokens"),
    Row(
        "terraform_token",
        (".atlasv1.",),
        rf"{A}{{14}}\.atlasv1\.{W}{{60,70}}",
        "HCP Terraform, API tokens",
        14,
    ),
    Row(
        "vault_token", ("hvs.", "hvb.", "hvr."), rf"hv[sbr]\.{W}{{24,300}}", "HashiCorp Vault, token prefixes"
    ),
    Row("pulumi_token", ("pul-",), rf"pul-{H}{{40}}", "Pulumi, access tokens"),
    Row(
        "doppler_token",
        ("dp.",),
        rf"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?{A}{{40,44}}",
        "Doppler, token formats",
    ),
    Row("postman_key", ("PMAK-",), rf"PMAK-{H}{{24}}-{H}{{34}}", "Postman, API keys"),
    Row("sentry_token", ("sntryu_",), rf"sntryu_{H}{{64}}", "Sentry, auth tokens"),
    Row("sentry_org_token", ("sntrys_eyJ",), r"sntrys_eyJ[A-Za-z0-9+/=_-]{60,400}", "Sentry, auth tokens"),
    Row("grafana_token", ("glsa_",), rf"glsa_{A}{{32}}_[0-9A-Fa-f]{{8}}", "Grafana, service accounts"),
    Row(
        "grafana_cloud_token",
        ("glc_eyJ",),
        r"glc_eyJ[A-Za-z0-9+/=]{40,400}",
        "Grafana Cloud, access policies",
    ),
    Row("newrelic_key", ("NRAK-",), r"NRAK-[A-Z0-9]{27}", "New Relic, API keys"),
    Row("dynatrace_token", ("dt0c01.",), r"dt0c01\.[A-Z2-7]{24}\.[A-Z2-7]{64}", "Dynatrace, access tokens"),
    # Models
    Row(
        "openai_key",
        ("sk-",),
        r"sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,80}|[A-Za-z0-9]{20})T3BlbkFJ[A-Za-z0-9_-]{20,80}",
        "OpenAI, API keys; the middle is `OpenAI` in base64",
    ),
    Row(
        "anthropic_key",
        ("sk-ant-",),
        rf"sk-ant-(?:api|admin|oat|ort|sid)[0-9]{{2}}-{W}{{80,120}}",
        "Anthropic, API keys",
    ),
    Row("openrouter_key", ("sk-or-v1-",), rf"sk-or-v1-{H}{{64}}", "OpenRouter, API keys"),
    Row("huggingface_token", ("hf_",), r"hf_[A-Za-z0-9]{34}", "Hugging Face, user access tokens"),
    Row(
        "huggingface_org_token",
        ("api_org_",),
        r"api_org_[A-Za-z0-9]{34}",
        "Hugging Face, organisation tokens",
    ),
    Row("groq_key", ("gsk_",), rf"gsk_{A}{{52}}", "Groq, API keys"),
    Row("perplexity_key", ("pplx-",), rf"pplx-{A}{{48}}", "Perplexity, API keys"),
    Row("xai_key", ("xai-",), rf"xai-{A}{{80}}", "xAI, API keys"),
    Row("replicate_token", ("r8_",), rf"r8_{A}{{37}}", "Replicate, API tokens"),
    Row("nvidia_key", ("nvapi-",), rf"nvapi-{W}{{64}}", "NVIDIA API catalogue, keys"),
    Row("cerebras_key", ("csk-",), r"csk-[a-z0-9]{48}", "Cerebras, API keys"),
    Row("langsmith_key", ("lsv2_",), rf"lsv2_(?:pt|sk)_{H}{{32}}_{H}{{10}}", "LangSmith, API keys"),
    Row("tavily_key", ("tvly-",), rf"tvly-(?:dev-|prod-)?{A}{{32}}", "Tavily, API keys"),
    Row("pinecone_key", ("pcsk_",), rf"pcsk_{A}{{5,6}}_{A}{{63}}", "Pinecone, API keys"),
    # Talk
    Row("slack_bot_token", ("xoxb-",), rf"xoxb-[0-9]{{10,13}}-[0-9]{{10,13}}-{A}{{24}}", _SLACK),
    Row("slack_user_token", ("xoxp-", "xoxe-"), rf"xox[pe]-(?:[0-9]{{10,13}}-){{2,3}}{A}{{28,34}}", _SLACK),
    Row("slack_app_token", ("xapp-",), rf"xapp-[0-9]-[A-Z0-9]{{9,13}}-[0-9]{{10,13}}-{H}{{64}}", _SLACK),
    Row(
        "slack_webhook",
        ("https://hooks.slack.com/",),
        rf"https://hooks\.slack\.com/(?:services|workflows)/T[A-Z0-9]{{8,12}}/[AB][A-Z0-9]{{8,12}}"
        rf"/{A}{{18,24}}",
        "Slack API, incoming webhooks",
    ),
    Row(
        "discord_webhook",
        ("/api/webhooks/",),
        rf"https://(?:discord|discordapp)\.com/api/webhooks/[0-9]{{17,20}}/{W}{{60,72}}",
        "Discord developer portal, webhooks",
        30,
    ),
    Row(
        "telegram_bot_token",
        (":AA",),
        rf"[0-9]{{8,10}}:AA{W}{{33}}",
        "Telegram Bot API, authorising your bot",
        10,
    ),
    Row("sendgrid_key", ("SG.",), rf"SG\.{W}{{22}}\.{W}{{43}}", "Twilio SendGrid, API keys"),
    Row("mailchimp_key", ("-us",), rf"{H}{{32}}-us[0-9]{{1,2}}", "Mailchimp, API keys", 32),
    Row(
        "twilio_key",
        ("twilio", "Twilio", "TWILIO"),
        rf"(?:twilio|Twilio|TWILIO)[A-Za-z_\"' ]{{0,24}}[=:][\"' ]{{0,3}}(?:SK)?{H}{{32}}",
        "Twilio, API keys",
    ),
    Row(
        "intercom_token",
        ("dG9rO",),
        r"dG9rO[A-Za-z0-9+/]{54,59}=",
        "Intercom, access tokens; `tok:` in base64",
    ),
    # Money and shops
    Row("stripe_key", ("sk_live_", "rk_live_"), rf"[sr]k_live_{A}{{24,247}}", _STRIPE),
    Row("stripe_test_key", ("sk_test_", "rk_test_"), rf"[sr]k_test_{A}{{24,247}}", _STRIPE),
    Row(
        "stripe_webhook_secret",
        ("whsec_",),
        r"whsec_[A-Za-z0-9+/]{32,64}={0,2}",
        "Stripe Docs, webhook signatures",
    ),
    Row("square_token", ("EAAA",), rf"EAAA{W}{{60}}", "Square, access tokens"),
    Row("square_secret", ("sq0csp-",), rf"sq0csp-{W}{{43}}", "Square, OAuth"),
    Row("shopify_token", ("shpat_", "shpca_", "shppa_"), r"shp(?:at|ca|pa)_[0-9a-fA-F]{32}", _SHOPIFY),
    Row("shopify_secret", ("shpss_",), r"shpss_[0-9a-fA-F]{32}", _SHOPIFY),
    Row("paystack_key", ("sk_live_", "sk_test_"), rf"sk_(?:live|test)_{H}{{40}}", "Paystack, API keys"),
    # Work
    Row("linear_key", ("lin_api_",), rf"lin_api_{A}{{40}}", "Linear, personal API keys"),
    Row(
        "notion_token",
        ("ntn_", "secret_"),
        rf"(?:ntn_[0-9]{{11}}{A}{{35}}|secret_{A}{{43}})",
        "Notion, integration tokens",
    ),
    Row("airtable_token", ("pat",), rf"pat{A}{{14}}\.{H}{{64}}", "Airtable, personal access tokens"),
    Row("figma_token", ("figd_",), rf"figd_{W}{{40}}", "Figma, personal access tokens"),
    Row("contentful_token", ("CFPAT-",), rf"CFPAT-{W}{{43}}", "Contentful, personal access tokens"),
    Row(
        "hubspot_token",
        ("pat-na1-", "pat-eu1-"),
        rf"pat-(?:na|eu)1-{H}{{8}}-{H}{{4}}-{H}{{4}}-{H}{{4}}-{H}{{12}}",
        "HubSpot, private apps",
    ),
    Row("mapbox_token", ("sk.eyJ",), rf"sk\.eyJ{W}{{40,120}}\.{W}{{20,32}}", "Mapbox, access tokens"),
    Row("turnout_key", ("tn_",), r"tn_[0-9A-Za-z]{43,64}", "docs/design/SECURITY.md, S-62"),
    # Any house
    Row(
        "private_key",
        ("-----BEGIN ",),
        r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}"
        r"PRIVATE KEY-----(?:[A-Za-z0-9+/=:,. \r\n\\-]{16,8000}?-----END (?:[A-Z0-9]{2,12} ){0,2}"
        r"PRIVATE KEY-----)?",
        _PEM,
    ),
    Row(
        "pgp_private_key",
        (f"{_BEGIN} PGP PRIVATE",),
        rf"{_BEGIN} PGP PRIVATE KEY BLOCK-----",
        "RFC 9580, 6.2",
    ),
    Row(
        "age_key",
        ("AGE-SECRET-KEY-1",),
        r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        "age, format specification",
    ),
    Row("jwt", ("eyJ",), rf"eyJ{W}{{10,2000}}\.eyJ{W}{{10,4000}}\.{W}{{16,1400}}", "RFC 7519"),
    Row(
        "url_password",
        ("://",),
        r"[a-z][a-z0-9+.-]{1,15}://[A-Za-z0-9._~%-]{1,64}:[^\s:/@\"'<>{}$%*()\[\]]{3,128}"
        r"@[A-Za-z0-9.-]{1,200}",
        "RFC 3986, 3.2.1",
        16,
    ),
)
