"""Which wire formats a configuration may name: built-in ones, and those of installed packages. Floor 5."""

from turnout.registry import BUILTINS, names

_GROUP = "turnout.codecs"


def check_codec(name: str | None) -> None:
    """Raise `ValueError` for a name that no format has; it never quotes the name, which may be a secret."""
    if name is None or name in BUILTINS[_GROUP]:
        return
    known = names(_GROUP)  # looks through the installed packages
    if name not in known:
        raise ValueError(f"codec is no known wire format; expected one of {', '.join(known)}")
