"""Routers on recorded outcomes: what is fitted on the train split, measured on the dev split."""
