"""Who has used how much: accounts that are reserved from and settled, all levels in one step. Floor 3."""
