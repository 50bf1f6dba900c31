"""State shared by replicas, in Valkey or Redis. Floor 3. Needs the extra `valkey`."""
