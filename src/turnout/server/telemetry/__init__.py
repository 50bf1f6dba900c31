"""Traces, metrics and log lines on their way to a collector. Floor 6."""
