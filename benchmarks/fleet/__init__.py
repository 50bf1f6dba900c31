"""A simulated fleet on real sockets: what each strategy promises, measured (docs/explanation/fleet.md)."""
