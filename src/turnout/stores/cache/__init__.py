"""Answers that are given again. Floor 3."""
