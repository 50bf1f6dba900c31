"""The configuration file: one YAML document, one typed tree. Floor 5.

Nothing here builds anything: `build.py` turns a `Config` into an engine.
"""

from turnout.config.desk import DeskConfig
from turnout.config.guards import GuardConfig, GuardsConfig
from turnout.config.keys import KeyConfig
from turnout.config.limits import BudgetConfig, LedgerConfig, QuotaConfig
from turnout.config.log import LogConfig
from turnout.config.providers import ProviderConfig, QuirksConfig
from turnout.config.read import json_schema, load_config, parse_config, to_builtins
from turnout.config.responses import ResponsesConfig
from turnout.config.shape import (
    BackgroundConfig,
    BenchmarksConfig,
    CatalogConfig,
    CertificateConfig,
    Config,
    EgressConfig,
    JournalConfig,
    LimitsConfig,
    ModelConfig,
    RouteConfig,
    ServerConfig,
    SurfaceConfig,
    TimeoutsConfig,
    TlsConfig,
)

__all__ = [
    "BackgroundConfig",
    "BenchmarksConfig",
    "BudgetConfig",
    "CatalogConfig",
    "CertificateConfig",
    "Config",
    "DeskConfig",
    "EgressConfig",
    "GuardConfig",
    "GuardsConfig",
    "JournalConfig",
    "KeyConfig",
    "LedgerConfig",
    "LimitsConfig",
    "LogConfig",
    "ModelConfig",
    "ProviderConfig",
    "QuirksConfig",
    "QuotaConfig",
    "ResponsesConfig",
    "RouteConfig",
    "ServerConfig",
    "SurfaceConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "json_schema",
    "load_config",
    "parse_config",
    "to_builtins",
]
