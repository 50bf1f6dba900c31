"""Other LLM gateways, where installed: each with as much switched on as it can do without a database.

A gateway is found beside this Python, on the path, or where the environment says: `BENCH_LITELLM`,
`BENCH_FERROGW` and `BENCH_PORTKEY` name programs, `BENCH_TENSORZERO` a Python that has the package. How to
install them, and what each row does not do that Turnout's does, is in docs/explanation/performance.md.
"""

import os
import subprocess
import sys

import msgspec

from benchmarks.machine import Unusable, free_port, spawn, stop, wait_for_port
from benchmarks.native import Target
from benchmarks.peers import PROXIES, Place, Stack, Start, program, version

LITELLM_MODEL = """
- model_name: {name}
  litellm_params:
    model: openai/{upstream_model}
    api_base: "http://127.0.0.1:{upstream}/v1"
    api_key: none
    input_cost_per_token: 0.000001
    output_cost_per_token: 0.000002
    rpm: 100000000
    tpm: 100000000000
"""
LITELLM = """
model_list:{models}
litellm_settings: {{drop_params: true, set_verbose: false, num_retries: 0{extra}}}
{router}
general_settings: {{disable_spend_logs: true, {auth}}}
"""
MASTER = "sk-bench-0123456789abcdef"
TENSORZERO = """
[gateway]
observability.enabled = false

[models.one]
routing = ["mock"]

[models.one.providers.mock]
type = "openai"
model_name = "one"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "none"
"""
TENSORZERO_START = (
    "import sys,time\n"
    "from tensorzero.tensorzero import _start_http_gateway as start\n"
    "gateway=start(config_file=sys.argv[1],clickhouse_url=None,postgres_url=None,valkey_url=None,async_setup=False)\n"
    "print(gateway.base_url,flush=True)\n"
    "while True: time.sleep(3600)\n"
)


def litellm(place: Place) -> Stack:
    """Start the LiteLLM proxy with one worker, no database, no keys, logging off."""
    models = LITELLM_MODEL.format(name="bench/one", upstream_model="one", upstream=place.upstream)
    auth = "dangerously_permit_weak_or_unset_master_key: true"
    text = LITELLM.format(models=models, extra="", router="", auth=auth)
    return _litellm(place, "litellm", text, ())


def litellm_full(place: Place) -> Stack:
    """Start it with a key, five deployments by latency with limits, its cache and its metrics."""
    models = "".join(
        LITELLM_MODEL.format(name="bench/one", upstream_model=f"one-{n}", upstream=place.upstream)
        for n in range(5)
    )
    extra = ', cache: true, cache_params: {type: local}, callbacks: ["prometheus"]'
    router = "router_settings: {routing_strategy: latency-based-routing, enable_pre_call_checks: true}"
    text = LITELLM.format(models=models, extra=extra, router=router, auth=f"master_key: {MASTER}")
    return _litellm(
        place, "litellm, all it has without a database", text, (f"authorization: Bearer {MASTER}",)
    )


def _litellm(place: Place, name: str, text: str, headers: tuple[str, ...]) -> Stack:
    binary, port = program("litellm"), free_port()
    config = place.folder / f"litellm-{port}.yaml"
    config.write_text(text)
    local = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # what it asks of the internet at start
    process = spawn(
        [binary, "--config", config, "--host", "127.0.0.1", "--port", str(port)], place.core, env=local
    )
    wait_for_port(port, process, name)
    return Stack(name, process, Target(port, headers=headers), version=version([binary, "--version"]))


def ferrogw(place: Place) -> Stack:
    """Start the Ferro gateway with one target, keys off, stores in memory."""
    binary, port = program("ferrogw"), free_port()
    config = place.folder / "ferrogw.yaml"
    config.write_text("strategy: {mode: single}\ntargets: [{virtual_key: openai}]\n")
    settings = {
        "GATEWAY_CONFIG": str(config),
        "MASTER_KEY": "fgw_" + "0" * 32,
        "ALLOW_UNAUTHENTICATED_PROXY": "true",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{place.upstream}",
        "PORT": str(port),
        "LOG_LEVEL": "error",
        "RATE_LIMIT_RPS": "1000000",
        "RATE_LIMIT_BURST": "1000000",
    }
    process = spawn([binary, "serve"], place.core, env={**os.environ, **settings}, cwd=place.folder)
    wait_for_port(port, process, "ferrogw")
    found = version([binary, "version"])
    return Stack("ferrogw", process, Target(port), model="gpt-4o", version=found)


def portkey(place: Place) -> Stack:
    """Start the Portkey gateway without its console; provider and address come with each request."""
    binary, port = program("portkey"), free_port()
    process = spawn([binary, f"--port={port}", "--headless"], place.core)
    wait_for_port(port, process, "portkey")
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{place.upstream}/v1")
    facts = binary.resolve().parents[1] / "package.json"
    found = msgspec.json.decode(facts.read_bytes())["version"] if facts.exists() else ""
    return Stack("portkey", process, Target(port, headers=headers), version=found)


def tensorzero(place: Place) -> Stack:
    """Start TensorZero's gateway from its Python package, without observability."""
    python = os.environ.get("BENCH_TENSORZERO") or sys.executable
    found = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('tensorzero'))"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise Unusable("tensorzero is not installed")
    config = place.folder / "tensorzero.toml"
    config.write_text(TENSORZERO.format(upstream=place.upstream))
    process = spawn([python, "-c", TENSORZERO_START, config], place.core, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, b"")
    told = next((line.decode().strip() for line in lines if line.startswith(b"http://")), "")
    if not told:
        stop(process)
        raise Unusable("tensorzero did not start")
    port = int(told.rstrip("/").rpartition(":")[2].partition("/")[0])
    wait_for_port(port, process, "tensorzero")
    target = Target(port, path="/openai/v1/chat/completions")
    return Stack(
        "tensorzero", process, target, model="tensorzero::model_name::one", version=found.stdout.strip()
    )


RIVALS: dict[str, Start] = {
    "litellm": litellm,
    "litellm-full": litellm_full,
    "ferrogw": ferrogw,
    "portkey": portkey,
    "tensorzero": tensorzero,
}
PEERS: dict[str, Start] = {**PROXIES, **RIVALS}
