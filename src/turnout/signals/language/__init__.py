"""`lang` and `script`: in which language the user writes. Floor 2."""

from turnout.signals.language.sense import LangSense, ScriptSense

__all__ = ["LANG", "SCRIPT", "LangSense", "ScriptSense"]

LANG = LangSense()
SCRIPT = ScriptSense()
