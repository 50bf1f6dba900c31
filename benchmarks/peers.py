"""What every run is measured against: Envoy and nginx as plain proxies. Other gateways are in `rivals`.

Each is one process pinned to the measured core with one worker, keep-alive on both sides and no access log:
its documented way of being fast.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.machine import Unusable, free_port, spawn, wait_for_port
from benchmarks.native import Target

ENVOY_FILTERS = "type.googleapis.com/envoy.extensions.filters"
ENVOY = """
admin: {{}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {filters}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          generate_request_id: false
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": {filters}.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                route: {{cluster: upstream, timeout: 0s}}
  clusters:
  - name: upstream
    type: STATIC
    circuit_breakers:
      thresholds: [{{max_connections: 4096, max_pending_requests: 4096, max_requests: 4096}}]
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""


class Stack(msgspec.Struct, frozen=True):
    """One running thing that answers."""

    name: str
    process: "subprocess.Popen[bytes]"
    target: Target
    model: str = "bench/one"
    version: str = ""

    @property
    def pid(self) -> int:
        """Root of the process tree whose CPU and memory count."""
        return self.process.pid


class Place(msgspec.Struct, frozen=True):
    """Where a stack is started."""

    core: int
    upstream: int
    folder: Path


Start = Callable[[Place], Stack]


def program(name: str) -> Path:
    """Return an installed program: named by the environment, beside this Python, or on the path."""
    named = os.environ.get(f"BENCH_{name.upper()}")
    beside = Path(sys.executable).parent / name
    found = named or (str(beside) if beside.exists() else shutil.which(name))
    if not found:
        raise Unusable(f"{name} is not installed")
    return Path(found)


def version(command: list[str | Path]) -> str:
    """Return the first version number that a command prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return match[0] if match else ""


def envoy(place: Place) -> Stack:
    """Start Envoy as a plain proxy with one worker thread."""
    binary, port = program("envoy"), free_port()
    config = place.folder / "envoy.yaml"
    config.write_text(ENVOY.format(port=port, upstream=place.upstream, filters=ENVOY_FILTERS))
    process = spawn(
        [binary, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "error"], place.core
    )
    wait_for_port(port, process, "envoy")
    return Stack("envoy", process, Target(port), version=version([binary, "--version"]))


def nginx(place: Place) -> Stack:
    """Start nginx as a plain proxy with one worker process."""
    binary, port = program("nginx"), free_port()
    config = place.folder / "nginx.conf"
    config.write_text(NGINX.format(port=port, upstream=place.upstream, folder=place.folder))
    process = spawn([binary, "-c", config, "-p", place.folder], place.core)
    wait_for_port(port, process, "nginx")
    return Stack("nginx", process, Target(port), version=version([binary, "-v"]))


PROXIES: dict[str, Start] = {"envoy": envoy, "nginx": nginx}
