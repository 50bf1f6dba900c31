"""The admin API, `/admin/v1`: who may do what, and the endpoints that do it. Floor 6."""
