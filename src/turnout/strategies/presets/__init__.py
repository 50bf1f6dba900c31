"""Strategies by the words people use, each a page that expands to a pipeline. Floor 2."""
