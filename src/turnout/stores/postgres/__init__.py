"""Journal, ledger and desk in one PostgreSQL database, shared by replicas. Floor 3. Extra: `postgres`."""
