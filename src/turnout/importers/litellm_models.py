"""`model_list` of a LiteLLM `config.yaml`: one deployment per row (docs/design/WIRE.md 11). Floor 5.

Theory of operation.
1. `litellm_params.model` is `prefix/model`; the prefix is looked up among vendors and their other names. One
   provider row is made per vendor, address and region, and shared by the rows that have the same.
2. A key is never copied: `os.environ/NAME` becomes `${env:NAME}`, a key in clear becomes a reference to a
   variable that is named in the report.
3. `model_info` corrects the catalogue: prices per token become USD per million, `supports_*` become
   capabilities and modalities.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from turnout.catalog.catalog import Catalog
from turnout.catalog.vendors import find_vendor, maker_of, placeholders
from turnout.codecs.hosts import VERSIONED
from turnout.importers.report import Fate, Reader
from turnout.types.deployment import Vendor
from turnout.types.json import Json

Tree = dict[str, Json]
_ENVIRON: Final = "os.environ/"
_PRICES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
}
_ABILITIES: Final = {
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_tool_choice": "tool_choice",
    "supports_response_schema": "json_schema",
    "supports_reasoning": "reasoning",
    "supports_prompt_caching": "prompt_cache",
    "supports_system_messages": "system",
    "supports_web_search": "web_search",
}
_SENSES: Final = {
    "supports_vision": "image",
    "supports_audio_input": "audio",
    "supports_video_input": "video",
    "supports_pdf_input": "document",
}
_SECRET: Final = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_KINDS: Final = frozenset({"chat", "completion", "embedding", "responses"})
_PARAMS: Final[Mapping[str, tuple[Fate, str]]] = {
    "tpm": ("ignored", "a provider's own 429 pauses the deployment; token caps are not kept here"),
    "cooldown_time": ("ignored", "one breaker rule holds for all; set breaker.open_for_s"),
    "max_retries": ("ignored", "retries belong to the route: routes[].max_retries"),
    "additional_drop_params": ("ignored", "set providers.<name>.quirks.unsupported to the same names"),
    "drop_params": ("mapped", "what an upstream lacks is dropped with a notice, unless the route rejects"),
    "aws_access_key_id": ("approximated", "keys are not copied: set AWS_ACCESS_KEY_ID, or a profile"),
    "aws_secret_access_key": ("approximated", "keys are not copied: set AWS_SECRET_ACCESS_KEY, or a profile"),
    "aws_session_token": ("approximated", "keys are not copied: set AWS_SESSION_TOKEN"),
    "vertex_credentials": ("approximated", "a login is not copied: set GOOGLE_APPLICATION_CREDENTIALS"),
    "temperature": ("ignored", "clients send their own; a deployment has no default of it"),
    "max_tokens": ("ignored", "clients send their own; a deployment has no default of it"),
}


_PLACES: Final = {"aws_region_name": "region", "vertex_location": "region", "vertex_project": "project"}


class Row(Struct, frozen=True):
    """One deployment as it goes into the configuration."""

    group: str
    """`model_name`."""
    tree: Tree
    order: float = 0
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Name by which routes list it."""
        return str(self.tree.get("id") or self.tree["model"])


class Deployments:
    """Makes rows, and the providers they share."""

    def __init__(self, catalog: Catalog) -> None:
        self.providers: dict[str, Tree] = {}
        self._catalog = catalog
        self._ids: set[str] = set()

    def row(self, entry: Reader) -> Row | None:
        """Return the deployment of an entry; None where it cannot be carried over, which is noted."""
        group = entry.text("model_name") or ""
        params, info = entry.inner("litellm_params"), entry.inner("model_info")
        name = params.text("model") or ""
        mode = info.text("mode") or "chat"
        if mode not in _KINDS:
            info.note("mode", "refused", f"{mode}: chat and embeddings are served; left out")
        vendor, model = self._vendor(params, name)
        if vendor is None or mode not in _KINDS or not group:
            _skip(params, info, entry)
            return None
        provider = self._provider(params, vendor)
        base = info.text("base_model")
        known = (base or model).removeprefix(f"{vendor.name}/").rpartition("/")[2] if base else model
        tree: Tree = {"model": f"{vendor.name}/{known}"}
        if provider != vendor.name:
            tree["provider"] = provider
        if known != model:
            tree["upstream_model"] = model
        self._params(params, vendor, tree)
        _facts(info, tree, self._catalog)
        self._identify(info, tree, group)
        order, weight = params.number("order") or 0, _weight(params)
        for reader in (params, info, entry):
            reader.rest()
        return Row(group, tree, order, weight)

    def _vendor(self, params: Reader, name: str) -> tuple[Vendor | None, str]:
        prefix = params.text("custom_llm_provider")
        model = name
        if prefix is None:
            prefix, slash, model = name.partition("/")
            if not slash:
                maker = maker_of(name)
                return (
                    (maker, name) if maker is not None else self._unknown(params, name, "names no provider")
                )
        model = model.removeprefix(f"{prefix}/")
        if prefix == "auto_router":
            return self._unknown(params, name, "write a route with `strategy: {type: complexity}` or rules")
        vendor = find_vendor(prefix)
        if vendor is not None:
            return vendor, model
        return self._unknown(
            params, name, f"no vendor {prefix!r} is known, or its wire format is not spoken here"
        )

    def _unknown(self, params: Reader, name: str, why: str) -> tuple[None, str]:
        params.note("model", "refused", f"{name}: {why}; the row is left out")
        return None, name

    def _provider(self, params: Reader, vendor: Vendor) -> str:
        """Return the name of the provider with this address, made on first need."""
        row: Tree = {}
        base = params.text("api_base") or params.text("base_url")
        row |= _place(params, vendor)
        if base is not None:
            row["base_url"] = _address(reference(base), vendor)
            if base.startswith("http://"):
                row["allow_http"] = True
            if "api_key" not in params:
                row["auth"] = "none"
                params.note(
                    "api_base", "approximated", "without an api_key of its own nothing is presented there"
                )
        elif open_parts := [
            name for name in placeholders(vendor.base_url) if not _is_given(name, row, vendor)
        ]:
            params.note(
                "api_base", "refused", f"{vendor.name} needs its own address; fill in providers.parameters"
            )
            row["parameters"] = dict.fromkeys(open_parts, "FILL-IN")
        organization = params.text("organization")
        fixed = _headers(params)
        if organization is not None:
            fixed["OpenAI-Organization"] = reference(organization)
        if fixed:
            row["headers"] = fixed
        if not row:
            return self._named(vendor.name, {})
        row["vendor"] = vendor.name
        same = (name for name, other in self.providers.items() if other == row)
        return next(same, None) or self._named(self._free(vendor.name), row)

    def _named(self, name: str, row: Tree) -> str:
        self.providers.setdefault(name, row)
        return name

    def _free(self, name: str) -> str:
        taken = {*self.providers}
        return next(n for n in (name, *(f"{name}-{i}" for i in range(2, 10_000))) if n not in taken)

    def _params(self, params: Reader, vendor: Vendor, tree: Tree) -> None:
        key = params.text("api_key")
        if key is not None:
            tree["secret"] = self._secret(params, key, vendor, str(tree.get("provider", vendor.name)))
        for theirs, ours in (("region_name", "region"),):
            value = params.text(theirs)
            if value is not None:
                tree[ours] = value
        tags = params.take("tags")
        if isinstance(tags, list) and tags:
            tree["tags"] = tags
        calls = params.number("max_parallel_requests")
        if calls is not None:
            tree["limits"] = {"max_concurrency": calls}
        total, first = params.number("timeout"), params.number("stream_timeout")
        limits = {"total_s": total, "first_byte_s": first}
        if total is not None or first is not None:
            tree["timeouts"] = {name: value for name, value in limits.items() if value is not None}
        params.table(_PARAMS)

    def _secret(self, params: Reader, key: str, vendor: Vendor, provider: str) -> str:
        if key.startswith(_ENVIRON):
            return reference(key)
        # An address of its own gets a variable of its own: the vendor's key must not be sent there.
        own = re.sub(r"\W", "_", provider).upper() + "_API_KEY"
        name = own if "base_url" in self.providers[provider] or not vendor.env else vendor.env[0]
        params.note("api_key", "approximated", f"a key in clear is not copied: put it in the variable {name}")
        return "${env:" + name + "}"

    def _identify(self, info: Reader, tree: Tree, group: str) -> None:
        """Give a deployment an id where its model stands in the file already."""
        wanted = info.text("id") or str(tree["model"])
        name = next(n for n in (wanted, *(f"{wanted}#{i}" for i in range(2, 10_000))) if n not in self._ids)
        self._ids.add(name)
        if name != tree["model"]:
            tree["id"] = name


def reference(value: str) -> str:
    """Return a value with LiteLLM's way of naming an environment variable turned into ours."""
    return "${env:" + value.removeprefix(_ENVIRON) + "}" if value.startswith(_ENVIRON) else value


def _skip(*readers: Reader) -> None:
    for reader in readers:
        for key in reader.left():
            reader.take(key, "ignored", "its row is left out")


def _address(base: str, vendor: Vendor) -> str:
    """Return a base address; a vendor whose address has a place for a resource keeps its own path."""
    base, path = base.rstrip("/"), urlsplit(vendor.base_url).path
    if not placeholders(vendor.base_url) or base.endswith(path):
        return base
    return base.removesuffix(path.rpartition("/")[0]) + path


def _place(params: Reader, vendor: Vendor) -> Tree:
    """Return where a cloud's models stand: region, project and version of the surface."""
    row: Tree = {}
    for theirs, ours in _PLACES.items():
        value = params.text(theirs)
        if value is not None:
            row[ours] = reference(value)
    if vendor.host in VERSIONED:
        version = params.text("api_version")
        if version is not None and not version.startswith("v"):
            row["api_version"] = reference(version)
    else:
        params.text("api_version", "ignored", "only Azure's address has versions")
    return row


def _is_given(name: str, row: Tree, vendor: Vendor) -> bool:
    return name in row or name in vendor.parameter_env


def _headers(params: Reader) -> Tree:
    headers = params.take("extra_headers", "approximated", "sent to this provider with every call")
    if not isinstance(headers, Mapping):
        return {}
    secret = [name for name in headers if _SECRET.search(name)]
    if secret:
        params.note("extra_headers", "refused", f"{secret[0]} may hold a key; name it as api_key")
    return {name: value for name, value in headers.items() if name not in secret}


def _weight(params: Reader) -> float:
    weight = params.number("weight")
    rpm = params.number(
        "rpm", "approximated", "the share of calls follows it; a provider's own 429 enforces the cap"
    )
    found = weight if weight is not None else rpm
    return 1.0 if found is None else found


def _facts(info: Reader, tree: Tree, catalog: Catalog) -> None:
    price = {ours: usd for key, ours in _PRICES.items() if (usd := _per_mtok(info, key)) is not None}
    if "input" in price or "output" in price:
        tree["price"] = {"input": "0", "output": "0", **price}
    window = info.number("max_input_tokens")
    if window is not None:
        tree["context_window"] = window
    output = info.number("max_output_tokens")
    if output is None:
        output = info.number("max_tokens", "approximated", "read as the output limit")
    if output is not None:
        tree["max_output"] = output
    known = catalog.facts(str(tree["model"]))
    can, cannot = _marked(info, _ABILITIES)
    if can or cannot:
        tree["capabilities"] = list[Json](sorted(({*(known.capabilities or ())} | can) - cannot))
    sees, blind = _marked(info, _SENSES)
    if sees or blind:
        tree["modalities"] = list[Json](sorted((known.modalities_in | sees) - blind))


def _marked(info: Reader, words: Mapping[str, str]) -> tuple[set[str], set[str]]:
    said = {word: info.take(key) for key, word in words.items()}
    return {w for w, yes in said.items() if yes is True}, {w for w, yes in said.items() if yes is False}


def _per_mtok(info: Reader, key: str) -> str | None:
    """Return USD per million tokens, exact, as text."""
    value = info.take(key)
    if value is None:
        return None
    try:
        return format((Decimal(str(value)) * 10**6).normalize(), "f")
    except InvalidOperation:
        info.note(key, "refused", "not a number")
        return None
