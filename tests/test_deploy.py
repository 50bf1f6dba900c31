"""What is deployed names what exists, and keeps to what SECURITY.md asks of a deployment."""

import configparser
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.source import ROOT
from turnout.config import parse_config
from turnout.server.families import FAMILIES

DEPLOY = ROOT / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana/turnout.json").read_text())
ENV = {name: f"value-of-{name}-0123456789" for name in ("TURNOUT_KEY", "TURNOUT_SCRAPE_KEY")}
_WORDS = {"and", "by", "count", "deriv", "histogram_quantile", "ignoring", "increase", "max", "min", "offset"}
_WORDS |= {"rate", "sum", "unless", "without"}


def names() -> dict[str, frozenset[str]]:
    """Every sample a scrape can hold, and its labels."""
    found = {"up": frozenset({"job", "instance"})}
    for family in FAMILIES:
        labels = frozenset(family.labels)
        if family.kind == "histogram":
            found |= {f"{family.name}_{end}": labels for end in ("count", "sum")}
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[family.name + ("_total" if family.kind == "counter" else "")] = labels
    return found


def unknown(expression: str) -> set[str]:
    """What an expression names that no scrape holds: metrics, labels they are selected by, open brackets."""
    known, bare = names(), re.sub(r'"[^"]*"', '""', expression)
    wrong = {pair for pair in ("()", "{}", "[]") if bare.count(pair[0]) != bare.count(pair[1])}
    for metric, labels in re.findall(r"([a-z_]{3,})\{([^}]*)\}", bare):
        used = set(re.findall(r"([a-z_]+)\s*[=!]", labels))
        wrong |= {f"{metric}{{{label}}}" for label in used - known.get(metric, frozenset())}
    everything = frozenset().union(*known.values())
    for labels in re.findall(r"\bby \(([^)]*)\)", bare):
        wrong |= {label.strip() for label in labels.split(",")} - everything
    plain = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|ignoring) \([^)]*\)|\boffset \d+\w", " ", bare)
    return wrong | {word for word in re.findall(r"\b[a-z_]{3,}\b", plain) if word not in _WORDS | set(known)}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("sum by (route) (rate(turnout_requests_total[5m])) > 0", set()),
        ("turnout_requests", {"turnout_requests"}),
        ('turnout_open_requests{route="a"}', {"turnout_open_requests{route}"}),
        ("sum by (nobody) (turnout_open_requests", {"nobody", "()"}),
    ],
)
def test_the_check_of_expressions_sees(expression, found):
    assert unknown(expression) == found


def test_every_alert_is_whole_and_names_metrics_that_exist():
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert {rule["alert"]: found for rule in rules if (found := unknown(rule["expr"]))} == {}
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]


def test_every_panel_names_metrics_that_exist():
    panels = DASHBOARD["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    expressions += [
        var["query"]["query"] for var in DASHBOARD["templating"]["list"] if var["type"] == "query"
    ]
    variables = {f"${var['name']}" for var in DASHBOARD["templating"]["list"]} | {"$__rate_interval"}
    said = set(re.findall(r"\$\w+", " ".join(expressions)))
    assert said <= variables
    plain = [e.replace("$__rate_interval", "5m") for e in expressions]
    plain = [re.sub(r"label_values\((\w+), (\w+)\)", r"sum by (\2) (\1)", each) for each in plain]
    assert {e: found for e in plain if (found := unknown(e))} == {}
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_the_compose_file_hardens_every_service_and_publishes_on_loopback_alone():
    compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"gateway", "grafana", "migrate", "postgres", "prometheus", "valkey"}
    for name, service in services.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert ":latest" not in service.get("image", ""), name
        if name != "postgres":  # it starts as root, and gives that up by itself
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
    mounted = [path.split(":")[0] for each in services.values() for path in each.get("volumes", ())]
    folder = DEPLOY / "compose"
    assert [path for path in mounted if path.startswith(".") and not (folder / path).exists()] == []
    assert {path for path in mounted if not path.startswith(".")} == set(compose["volumes"])
    parse_config((folder / "turnout.yaml").read_text(), env=ENV)
    asked = set(re.findall(r"\$\{(\w+):[?-]", (folder / "compose.yaml").read_text()))
    assert asked == set(re.findall(r"^(\w+)=$", (folder / ".env.example").read_text(), re.MULTILINE))


def test_the_image_is_not_root_and_installs_from_the_lock():
    text = (DEPLOY / "docker/Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert "USER 10001:10001" in last
    assert "ENV" not in last.split("ENTRYPOINT")[1]
    assert "--require-hashes" in text
    assert "COPY ." not in text.replace("COPY --from", "")


def rendered(template: str, values: dict) -> str:
    """A template as Helm would write it, as far as ours go: values, `if`, `toYaml`, `include`, comments."""
    lines, skipping = [], []
    for line in template.splitlines():
        if found := re.fullmatch(r"\s*\{\{- if (not )?\.Values\.([\w.]+) \}\}", line):
            skipping.append(bool(looked_up(values, found[2])) == bool(found[1]))
        elif re.fullmatch(r"\s*\{\{- end \}\}", line):
            skipping.pop()
        elif not any(skipping) and not re.fullmatch(r"\s*\{\{- \$.*\}\}", line):
            lines.append(line)
    text = "\n".join(lines)
    text = re.sub(r'\{\{- include "turnout.labels" [^}]*\}\}', '{"app.kubernetes.io/name": turnout}', text)
    text = re.sub(r"\{\{- merge .*\}\}", "{}", text)
    text = re.sub(
        r"\{\{-? toYaml \.Values\.([\w.]+) \| nindent \d+ \}\}",
        lambda found: json.dumps(looked_up(values, found[1])),
        text,
    )
    text = re.sub(r"\{\{ \.Values\.([\w.]+) \}\}", lambda found: str(looked_up(values, found[1])), text)
    return re.sub(r"\{\{[^}]*\}\}", "x", text)


def looked_up(values: dict, path: str):
    for name in path.split("."):
        assert name in values, f"values.yaml has no {path}"
        values = values[name]
    return values


@pytest.mark.parametrize("everything", [False, True], ids=["as it is", "all on"])
def test_the_chart_renders_to_what_a_cluster_takes(everything):
    chart = DEPLOY / "helm/turnout"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    if everything:
        values["migrate"] = True
        for name in ("networkPolicy", "serviceMonitor", "podDisruptionBudget"):
            values[name]["enabled"] = True
    made = {}
    for path in sorted((chart / "templates").glob("*.yaml")):
        if (found := yaml.safe_load(rendered(path.read_text(), values))) is not None:
            made[found["kind"]] = found
    always = {"ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet"}
    assert set(made) == always | ({"NetworkPolicy", "ServiceMonitor"} if everything else set())
    pod = made["StatefulSet"]["spec"]["template"]["spec"]
    assert (pod["automountServiceAccountToken"], pod["securityContext"]["runAsNonRoot"]) == (False, True)
    containers = [*pod["containers"], *pod.get("initContainers", ())]
    assert len(containers) == 1 + everything
    for each in containers:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    parse_config(yaml.safe_dump(values["config"]), env=ENV)
    assert not re.search(
        r"(?i)(password|secret|token)\s*:\s*\S*[0-9a-f]{8}", (chart / "values.yaml").read_text()
    )


def test_the_unit_keeps_the_service_in_its_place():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(DEPLOY / "systemd/turnout.service")
    service = dict(unit["Service"])
    wanted = {
        "DynamicUser": "yes",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateDevices": "yes",
        "MemoryDenyWriteExecute": "yes",
        "CapabilityBoundingSet": "",
        "LimitCORE": "0",
        "UMask": "0077",
    }
    assert {name: service.get(name) for name in wanted} == wanted
    assert Path(service["ExecStart"].split()[0]).name == "turnout"
