"""Pure functions from candidates and signals to a Plan. Floor 2."""
