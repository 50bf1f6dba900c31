"""One number per candidate each: what a pipeline weighs. Floor 2."""
