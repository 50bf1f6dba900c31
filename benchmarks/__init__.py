"""What a request costs: CPU, memory, latency and start-up, next to plain proxies in the same run.

`make bench` runs everything, `make bench ARGS=--quick` a shorter version. How it is measured, and what the
numbers do not say, is in docs/explanation/performance.md.
"""
