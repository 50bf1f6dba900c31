"""From utilities to a permutation, with its exact probability. Floor 2."""
