"""What a configuration can say about a provider: where it is, what it speaks, what it is shown. Floor 5."""

from typing import Literal

from msgspec import Struct

from turnout.config.codecs import check_codec
from turnout.types.deployment import Auth, Host, Probe
from turnout.types.secret import Secret


class QuirksConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a host departs from its wire format (`types.deployment.Quirks`); None = as the vendor row says."""

    max_tokens_field: str | None = None
    stream_usage: bool | None = None
    developer_role: bool | None = None
    cache_marks: bool | None = None
    openai_fields: bool | None = None
    unsupported: frozenset[str] | None = None
    reasoning_field: str | None = None
    required_as_any: bool | None = None
    tool_id_length: int | None = None
    image_url_string: bool | None = None
    json_schema: bool | None = None
    query: str | None = None
    paths: dict[str, str] | None = None
    rerank_limit: Literal["top_n", "top_k"] | None = None
    prompt: str | None = None
    """Family of the format `prompt`."""

    def __post_init__(self) -> None:
        if self.prompt is not None:
            from turnout.codecs.prompt.families import FAMILIES  # noqa: PLC0415  few configurations name one

            if self.prompt not in FAMILIES:
                raise ValueError(f"prompt is no known family; expected one of {', '.join(FAMILIES)}")


class ProviderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vendor of the catalogue with a credential, or a host of your own."""

    vendor: str | None = None
    """Row of the vendor table to start from; default: the provider's own name."""
    base_url: str | None = None
    codec: str | None = None
    """Wire format: a built-in one, or one that an installed package brings; default: the vendor's."""
    auth: Auth | None = None
    secret: Secret | None = None
    """None = the vendor's environment variable."""
    secrets: tuple[Secret, ...] = ()
    """Further credentials at the same vendor: all take turns, and one that is refused is set aside."""
    host: Host | None = None
    """Cloud around the wire format; default: the vendor's."""
    region: str | None = None
    """Region or location, for the address and for what is signed."""
    project: str | None = None
    resource: str | None = None
    api_version: str | None = None
    """Version of the host's surface; one that has several is addressed by deployment."""
    profile: str | None = None
    """Section of the file of AWS credentials to sign with."""
    allow_http: bool = False
    headers: dict[str, str] = {}
    """Fixed headers the host wants; not for credentials."""
    parameters: dict[str, str] = {}
    """Values for `{placeholders}` in the vendor's address, such as Azure's resource."""
    quirks: QuirksConfig = QuirksConfig()
    probe: Probe | None = None
    """Replaces `health.probe` for everything served here."""

    def __post_init__(self) -> None:
        check_codec(self.codec)
