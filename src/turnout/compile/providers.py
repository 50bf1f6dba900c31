"""A configured provider made of the vendor's row, what the operator wrote and the environment. Floor 5."""

from collections.abc import Mapping

import msgspec

from turnout.catalog.vendors import find_vendor, placeholders
from turnout.codecs.hosts import CARRIES, VERSIONED, address_of
from turnout.config import ProviderConfig
from turnout.transport.credentials_aws import secret_in
from turnout.types.deployment import Quirks, Vendor
from turnout.types.secret import Secret

Env = Mapping[str, str]
_NO_ROW = Vendor(name="", base_url="", codec="openai_chat", auth="none")


class Provider(msgspec.Struct, frozen=True):
    """A vendor as configured, with the operator's credential."""

    vendor: Vendor
    secret: Secret | None


def make_provider(name: str, row: ProviderConfig, env: Env, problems: list[str]) -> Provider | None:
    """Return a provider, or None with one line more among the problems."""
    path = f"providers.{name}"
    if row.secret is None and row.secrets:
        row = msgspec.structs.replace(row, secret=row.secrets[0])
    base = find_vendor(row.vendor or name)
    if base is None and (row.base_url is None or row.vendor is not None):
        wanted = row.vendor or name
        problems.append(
            f"{path}: no vendor {wanted!r} is known; give it a base_url, or name a row with vendor:"
        )
        return None
    known = base or _NO_ROW
    given = _parameters(row, known, env)
    url = (row.base_url or known.base_url).rstrip("/")
    for key in placeholders(url):
        if key not in given:
            problems.append(f"{path}.parameters: {key!r} is missing; the address is {url}")
            return None
        url = url.replace("{" + key + "}", given[key])
    vendor = Vendor(
        name=name,
        base_url=address_of(url),
        codec=row.codec or known.codec,
        auth=row.auth or ("bearer" if base is None and row.secret else known.auth),
        env=known.env,
        quirks=_quirks(known.quirks, row),
        allow_http=row.allow_http or known.allow_http,
        embeddings=known.embeddings,
        tasks=known.tasks if row.base_url is None else None,
        batches=known.batches,
        host=row.host or known.host,
        api_version=row.api_version or known.api_version,
        region=given.get("region", ""),
        telemetry=known.telemetry or known.name,
    )
    found = _misfits(path, row, vendor)
    problems.extend(found)
    return None if found else Provider(vendor, row.secret or _secret(row, vendor, env))


def is_complete(vendor: Vendor, env: Env) -> bool:
    """Tell whether a vendor can be addressed with the environment alone."""
    given = _parameters(ProviderConfig(), vendor, env)
    return all(key in given for key in placeholders(vendor.base_url))


def _parameters(row: ProviderConfig, base: Vendor, env: Env) -> dict[str, str]:
    """Return the values for the placeholders of the address: as written, else as the environment says."""
    given = {
        key: value
        for key, names in base.parameter_env.items()
        if (value := next((env[name] for name in names if env.get(name)), None)) is not None
    }
    named = {"region": row.region, "project": row.project, "resource": row.resource}
    return {**given, **row.parameters, **{key: value for key, value in named.items() if value is not None}}


def _misfits(path: str, row: ProviderConfig, vendor: Vendor) -> list[str]:
    found: list[str] = []
    if vendor.host is not None and vendor.codec not in CARRIES[vendor.host]:
        carried = " or ".join(sorted(CARRIES[vendor.host]))
        found.append(f"{path}.host: {vendor.host} carries {carried}, not {vendor.codec}; set codec")
    if vendor.api_version and vendor.host not in VERSIONED:
        some = " and ".join(sorted(VERSIONED))
        found.append(f"{path}.api_version: only the host {some} has versions; set host, or leave it out")
    if row.profile is not None and vendor.auth != "sigv4":
        found.append(f"{path}.profile: only auth sigv4 reads a profile; this provider's is {vendor.auth}")
    return found


def _secret(row: ProviderConfig, vendor: Vendor, env: Env) -> Secret | None:
    if vendor.auth == "none":
        return None
    value = next((env[key] for key in vendor.env if env.get(key)), None)
    if value is not None and row.profile is None:
        return Secret(value)
    return secret_in(env, row.profile) if vendor.auth == "sigv4" else None


def _quirks(base: Quirks, row: ProviderConfig) -> Quirks:
    changes = {k: v for k, v in msgspec.structs.asdict(row.quirks).items() if v is not None}
    if row.headers:
        changes["extra_headers"] = (*base.extra_headers, *sorted(row.headers.items()))
    return msgspec.structs.replace(base, **changes)
