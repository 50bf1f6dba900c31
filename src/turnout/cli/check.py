"""`turnout check`: is the configuration good, and what does it say in full? Floor 7."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.options import config_option, read_config
from turnout.engine.snapshot import NO_MODEL_SERVED, Route
from turnout.errors import ConfigError
from turnout.types.deployment import Deployment
from turnout.types.json import Json

if TYPE_CHECKING:
    from turnout.config import Config

EXAMPLE = """\
# turnout.yaml
version: 1
providers:
  openai: {secret: "${env:OPENAI_API_KEY}"}
  anthropic: {secret: "${env:ANTHROPIC_API_KEY}"}
  local: {vendor: llamacpp, base_url: "http://127.0.0.1:8080/v1"}
models:
  - openai/gpt-5.4-mini
  - anthropic/claude-haiku-4-5
  - {model: local/smollm2, price: {input: 0, output: 0}}
routes:
  - name: assistant
    models: [openai/gpt-5.4-mini, anthropic/claude-haiku-4-5, local/smollm2]
    strategy: {type: priority}
default_route: assistant
aliases:
  fast: anthropic/claude-haiku-4-5
"""


@click.command()
@config_option
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the configuration file and stop.")
@click.option("--example", is_flag=True, help="Print a configuration file to start from and stop.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the effective configuration as JSON instead of YAML."
)
@click.option("--expand", "expanded", is_flag=True, help="Print what each route's strategy stands for.")
def check(config_path: Path | None, schema: bool, example: bool, as_json: bool, expanded: bool) -> None:
    """Check a configuration and print what is in force, defaults included and secrets hidden.

    Exit status 2 and one line per problem when it cannot be used.
    """
    from turnout.compile.panels import panel_doubts
    from turnout.config import json_schema, to_builtins
    from turnout.parts import compiled, credentials, egress

    if schema:
        click.echo(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode())
        return
    if example:
        click.echo(EXAMPLE, nl=False)
        return
    import asyncio
    import os

    from turnout.cli.certificates import certificate_lines
    from turnout.govern.open import has_keys, stored_secrets
    from turnout.server.bind import check_bind, check_upstreams
    from turnout.stores.sightings import sightings_beside

    config, path = read_config(config_path)
    with _named(path):
        snapshot = compiled(config, os.environ, asyncio.run(stored_secrets(config)))
        credentials(snapshot)
        egress(config, snapshot)
        check_bind(config, has_keys=asyncio.run(has_keys(config)))
        check_upstreams(snapshot.deployments.values(), config.server.host, config.server.port)
    tree = strategies(config) if expanded else to_builtins(config)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(tree), indent=2).decode())
    else:
        import yaml

        click.echo(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), nl=False)
    doubts = [line for route in snapshot.routes.values() for line in panel_doubts(route)]
    rules = rule_warnings(snapshot.routes.values())
    seen = sightings_beside(config.journal.path if config.journal.enabled else None)
    certificates = certificate_lines(snapshot.routes.values(), seen)
    learned = learned_warnings(snapshot.routes.values())
    for warning in [*warnings(snapshot.deployments.values()), *rules, *doubts, *certificates, *learned]:
        click.echo(f"turnout: {warning}", err=True)
    n, routes = len(snapshot.deployments), len(snapshot.routes)
    click.echo(f"turnout: {path or 'environment'}: good; deployments: {n}, routes: {routes}", err=True)


@contextmanager
def _named(path: Path | None) -> Iterator[None]:
    """Name the file in each problem, as the problems that reading it finds do."""
    try:
        yield
    except ConfigError as error:
        if path is None:
            raise
        raise ConfigError(tuple(f"{path}: {problem}" for problem in error.problems)) from error


def strategies(config: "Config") -> Json:
    """Return, by route, the row that its strategy stands for: presets in full, defaults written out."""
    from turnout.strategies.rows import expand

    return {
        route.name: expand(route.strategy, f"routes[{at}].strategy") for at, route in enumerate(config.routes)
    }


def warnings(deployments: Iterable[Deployment]) -> list[str]:
    """Return what is allowed but deserves a look: unknown prices and models past or near their retirement."""
    from datetime import UTC, datetime, timedelta

    today = datetime.now(UTC).date()
    found: list[str] = []
    deployments = list(deployments)
    if not deployments:
        found.append(NO_MODEL_SERVED)
    for each in deployments:
        model = each.model
        if model.price is None:
            found.append(f"{each.id}: the price is not known; cost will be reported as unknown")
        if model.retires_on is not None:
            day = datetime.fromisoformat(model.retires_on).date()
            if day <= today + timedelta(days=30):
                verb = "was retired" if day <= today else "will be retired"
                hint = f"; use {', '.join(model.successors)}" if model.successors else ""
                found.append(f"{each.id}: {verb} on {day}{hint}")
    return found


def learned_warnings(routes: Iterable[Route]) -> list[str]:
    """Return what deserves a look where something learned decides: its end, and whether it speaks at all."""
    from datetime import UTC, datetime, timedelta

    from turnout.strategies.pipeline import Pipeline

    now = datetime.now(UTC)
    found: list[str] = []
    for route in routes:
        parts = route.strategy.score if isinstance(route.strategy, Pipeline) else ()
        for part in parts:
            card = getattr(part, "card", None)
            if card is None:
                continue
            what = f"routes.{route.name}: artifact {getattr(part, 'artifact', '')}"
            if card.expires <= now + timedelta(days=14):
                verb = "expired" if card.is_expired(now) else "expires"
                found.append(f"{what} {verb} on {card.expires:%Y-%m-%d}; fit again")
            if card.abstain_reason is not None:
                found.append(f"{what} abstains: {card.abstain_reason}; the best single model is used")
    return found


def rule_warnings(routes: Iterable[Route]) -> list[str]:
    """Return what deserves a look where rules decide: some that never win, some that overlap."""
    from turnout.strategies.rules import Rules, findings

    return [
        f"route {route.name}: {finding}"
        for route in routes
        if isinstance(route.strategy, Rules)
        for finding in findings(route.strategy.rules)
    ]
