"""From a permutation to a Plan. Floor 2."""
