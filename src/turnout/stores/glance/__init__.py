"""Parts of many Records. Floor 3."""
