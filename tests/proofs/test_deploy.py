"""What is deployed, in the hands of its readers: Prometheus' grammar, Helm itself, published schemas.

`tests/test_deploy.py` looks at names and shapes without them; this asks what `make proofs` installs from
requirements/deploy.txt, and skips where there is none of it.
"""

import re
import subprocess
import sys

import pytest
import yaml

from tests.test_deploy import ALERTS, DASHBOARD, DEPLOY, ENV, unknown
from turnout.config import parse_config

CHART = DEPLOY / "helm/turnout"
GRAFANA = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}
ALL_ON = {
    "migrate": True,
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "podDisruptionBudget": {"enabled": True},
}
OLDEST_CLUSTER = "1.27"
"""What the chart says it needs (`kubeVersion`)."""
FROM_ELSEWHERE = {"ServiceMonitor"}
"""Kinds that a cluster has only where somebody added them."""
MISSING = "not installed: pip install --require-hashes -r requirements/deploy.txt"
_ERROR = 3
"""Helm's word for a finding that is no advice."""


def expressions() -> list[str]:
    """Every expression of the alert rules and of Grafana's panels, with its own words filled in."""
    rules = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in _panels(DASHBOARD["panels"]) for target in panel.get("targets", ())]
    found = []
    for text in (*rules, *panels):
        for name, value in GRAFANA.items():
            text = text.replace(name, value)  # noqa: PLW2901
        found.append(re.sub(r"\$\{?\w+\}?", ".*", text))
    return found


def _panels(panels):
    for each in panels:
        yield each
        yield from _panels(each.get("panels", ()))


def test_every_expression_is_promql() -> None:
    parser = pytest.importorskip("promql_parser", reason=MISSING)
    every = expressions()
    assert len(every) > 20
    for text in every:
        parser.parse(text)
        assert unknown(re.sub(r"\s+", " ", text)) == set(), text


def check_objects(made) -> None:
    """Hold what was rendered against the schemas of the oldest Kubernetes for the chart, and the newest."""
    kubernetes = pytest.importorskip("kubernetes_validate", reason=MISSING)
    versions = (OLDEST_CLUSTER, kubernetes.latest_version())
    for each in [each for kind, each in made.items() if kind not in FROM_ELSEWHERE]:
        for version in versions:
            kubernetes.validate(each, version, strict=True)
    wrong = {**made["Service"], "spec": {**made["Service"]["spec"], "prots": []}}
    with pytest.raises(kubernetes.ValidationError, match="prots"):
        kubernetes.validate(wrong, OLDEST_CLUSTER, strict=True)


@pytest.mark.parametrize("values", [{}, ALL_ON], ids=["as it is", "all on"])
def test_helm_renders_the_chart_to_what_a_cluster_takes(values) -> None:
    helm = pytest.importorskip("helm_python.chart", reason=MISSING)
    report = helm.lint(CHART, values)
    assert [each for each in report["messages"] if each["severity"] == _ERROR] == report["errors"] == []
    made = {}
    for text in helm.Chart.load(CHART).render(values, name="gate", namespace="ai").values():
        for each in yaml.safe_load_all(text):
            if each:
                made[each["kind"]] = each
    check_objects(made)
    always = {"ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet"}
    assert set(made) == always | ({"NetworkPolicy", "ServiceMonitor"} if values else set())
    ours = made["StatefulSet"]["spec"]["selector"]["matchLabels"]
    assert ours.items() <= made["StatefulSet"]["spec"]["template"]["metadata"]["labels"].items()
    assert made["Service"]["spec"]["selector"].items() <= ours.items()
    assert made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == ours
    (text,) = made["ConfigMap"]["data"].values()
    config = parse_config(text, env=ENV)
    (container,) = made["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert config.server.port in {port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in made["Service"]["spec"]["ports"]} <= {
        value for port in container["ports"] for value in (port["name"], port["containerPort"])
    }


def complaints(file) -> str:
    """What the published schema of compose files says against one; nothing when it has nothing to say."""
    pytest.importorskip("check_jsonschema", reason=MISSING)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) in ((0, "ok -- validation done\n"), (1, ran.stdout)), ran.stderr
    return ran.stdout if ran.returncode else ""


def test_the_compose_file_is_what_its_schema_asks_for(tmp_path) -> None:
    ours = DEPLOY / "compose/compose.yaml"
    assert complaints(ours) == ""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(ours.read_text().replace("  tmpfs: [/tmp]", "  tmpfs: {path: /tmp}", 1))
    assert "tmpfs" in complaints(wrong)
