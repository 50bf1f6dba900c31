"""Certificates read from files and tied to the routes that are run under them. Floor 5.

A certificate that cannot be read, or promises less than the route asks for, is a fault of the configuration.
One that is whole but was changed, or was made for something else, is not: the route starts, and everything
goes to the reference (strategies/pipeline/certified.py), because a gateway that does not start serves nobody.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from turnout.config import CertificateConfig, RouteConfig
from turnout.errors import ConfigError
from turnout.learn.certificate import Certificate, is_intact, read
from turnout.plan import Accept
from turnout.strategies.base import Strategy
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.pipeline.certified import PRICE, VERSION, Permit
from turnout.strategies.rows import expand, make
from turnout.types.deployment import Deployment
from turnout.types.usage import Price

CHANGED = "changed_document"
POLICY = "policy_mismatch"
ARTIFACT = "artifact_mismatch"
PRICES_MOVED = 0.1
"""Share by which a price may differ before the route counts as another policy."""


def certified(
    strategy: Strategy, row: RouteConfig, path: str, pool: Sequence[Deployment], problems: list[str]
) -> Strategy:
    """Return the strategy under its route's certificate; what is wrong goes to `problems`."""
    config = row.certificate
    if config is None or not pool:
        return strategy
    path = f"{path}.certificate"
    if not isinstance(strategy, Pipeline):
        problems.append(f"{path}: the strategy {strategy.name!r} predicts no quality; use a pipeline")
        return strategy
    if strategy.gauge is None and not any(part.role == "quality" for part in strategy.score):
        problems.append(f"{path}: no scorer of the strategy predicts quality; add one, such as learned")
        return strategy
    certificate = _read(config.file, f"{path}.file", problems)
    previous = _read(config.previous, f"{path}.previous", problems)
    score = None
    if config.shadow_score is not None:
        score = make("turnout.acceptors", config.shadow_score, f"{path}.shadow_score", problems)
    found = [*_contradictions(config, certificate, path)]
    name = config.reference or (None if certificate is None else certificate.reference)
    called = names_of(strategy)
    reference = _serving(() if name is None else (name,), pool, called)
    if name is not None and not reference:
        found.append(f"{path}.reference: {name!r} is not in the route's models")
    problems.extend(found)
    if found or not reference:
        return strategy
    permit = Permit(
        certificate=certificate,
        reference=reference,
        candidates=frozenset(
            each.id for each in _serving(certificate.candidates if certificate else (), pool, called)
        ),
        void=None if certificate is None else _void(certificate, row, strategy, pool),
        suspended=PRICE if certificate is not None and moved_prices(certificate, pool) else None,
        previous=_usable(previous, certificate, row, strategy, pool),
        on_expiry=config.on_expiry,
        on_drift=config.on_drift,
        shadow_share=config.shadow_share,
        shadow_score=score if isinstance(score, Accept) else None,
    )
    return msgspec.structs.replace(strategy, permit=permit)


def policy_sha256(row: RouteConfig, path: str) -> str:
    """Return the hash of what a route decides by: its models and its strategy, defaults written out.

    Raises:
        ConfigError: The strategy describes nothing.
    """
    policy = {"models": row.models, "strategy": expand(row.strategy, f"{path}.strategy")}
    return hashlib.sha256(msgspec.json.encode(policy, order="deterministic")).hexdigest()


def price_mark(price: Price) -> str:
    """Return how a certificate notes a price: its date, and pico-USD a token of input and of output."""
    return f"{price.as_of or '-'} {price.input}/{price.output}"


def moved_prices(certificate: Certificate, pool: Iterable[Deployment]) -> tuple[str, ...]:
    """Return the models whose price has moved so far that the route is another policy than was tested."""
    return tuple(sorted({each.model.id for each in pool if _has_moved(certificate, each)}))


def _has_moved(certificate: Certificate, deployment: Deployment) -> bool:
    price = deployment.model.price
    _, _, noted = certificate.prices.get(deployment.model.id, "").partition(" ")
    then = noted.split("/")
    if price is None or len(then) != 2 or not all(each.isdigit() for each in then):
        return False  # a certificate of before, which notes dates alone
    pairs = zip((price.input, price.output), map(int, then), strict=True)
    return any(abs(now - was) > PRICES_MOVED * was for now, was in pairs)


def stale_prices(certificate: Certificate, pool: Iterable[Deployment]) -> tuple[str, ...]:
    """Return the models whose price has changed since: the savings it states are those of other prices."""
    found = set()
    for each in pool:
        price, noted = each.model.price, certificate.prices.get(each.model.id)
        if price is not None and noted not in {None, price.as_of, price_mark(price)}:
            found.add(each.model.id)
    return tuple(sorted(found))


def _read(name: str | None, path: str, problems: list[str]) -> Certificate | None:
    if name is None:
        return None
    try:
        return read(Path(name).read_bytes())
    except OSError as error:
        problems.append(f"{path}: {name} cannot be read: {error.strerror}; write it with turnout calibrate")
    except ConfigError as error:
        problems.extend(f"{path}: {name}: {problem}" for problem in error.problems)
    return None


def _contradictions(config: CertificateConfig, certificate: Certificate | None, path: str) -> Iterable[str]:
    if config.shadow_share and config.shadow_score is None:
        yield f"{path}.shadow_score: name the acceptor that scores both answers, such as json_schema or judge"
    if certificate is None:
        if config.reference is None and config.file is None:
            yield f"{path}.reference: name the reference, or give the file of a certificate"
        return
    if config.max_loss is not None and certificate.epsilon > config.max_loss:
        yield f"{path}.file: it allows a mean loss of {certificate.epsilon}; max_loss is {config.max_loss}"
    confidence = 1 - certificate.delta
    if config.confidence is not None and confidence < config.confidence - 1e-12:
        yield f"{path}.file: its confidence is {confidence:g}; confidence is {config.confidence}"
    if config.reference is not None and config.reference != certificate.reference:
        yield f"{path}.reference: is {config.reference!r}; the certificate's is {certificate.reference!r}"


def names_of(strategy: Pipeline) -> Mapping[str, str]:
    """Return what learned scorers call deployments or models, where that differs: so do certificates."""
    found: dict[str, str] = {}
    for part in strategy.score:
        found.update(getattr(part, "names", None) or {})
    return found


def _serving(
    names: Iterable[str], pool: Iterable[Deployment], called: Mapping[str, str]
) -> tuple[Deployment, ...]:
    wanted = frozenset(names)
    return tuple(
        each
        for each in pool
        if wanted & {each.id, each.model.id, called.get(each.id), called.get(each.model.id)}
    )


def _usable(
    previous: Certificate | None,
    certificate: Certificate | None,
    row: RouteConfig,
    strategy: Pipeline,
    pool: Sequence[Deployment],
) -> Certificate | None:
    """Return the certificate before this one where it is about the same models as configured."""
    if previous is None or certificate is None or _void(previous, row, strategy, pool) is not None:
        return None
    if moved_prices(previous, pool):
        return None
    same = previous.reference == certificate.reference and previous.candidates == certificate.candidates
    return previous if same else None


def _void(
    certificate: Certificate, row: RouteConfig, strategy: Pipeline, pool: Sequence[Deployment]
) -> str | None:
    """Return why a certificate was not made for what is configured; None: it was."""
    if not is_intact(certificate):
        return CHANGED
    if certificate.artifact_sha256 is not None:
        artifacts = {getattr(part, "artifact_sha256", None) for part in strategy.score}
        if certificate.artifact_sha256 not in artifacts:
            return ARTIFACT
    if certificate.policy_sha256 is not None and certificate.policy_sha256 != policy_sha256(row, ""):
        return POLICY
    versions = certificate.versions
    if any(versions.get(each.model.id, each.upstream_model) != each.upstream_model for each in pool):
        return VERSION
    return None
