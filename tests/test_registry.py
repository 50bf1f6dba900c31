"""From a group and a name to an object."""

import sys
from pathlib import Path

import pytest

from turnout.errors import ConfigError
from turnout.registry import BUILTINS, GROUPS, Registry, did_you_mean

BUILTIN = {"turnout.scorers": {"path": "pathlib:Path", "cwd": "pathlib:Path.cwd"}, "turnout.guards": {}}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A folder on the import path in which a test installs distributions."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, entry_points: str, modules: dict[str, str]) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(entry_points)
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def problem(call, *args) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*args)
    (line,) = caught.value.problems
    return line


def test_a_builtin_is_imported_when_it_is_asked_for():
    assert Registry(BUILTIN).load("turnout.scorers", "path") is Path


def test_an_address_may_be_a_module():
    registry = Registry({"turnout.codecs": {"x": "pathlib"}})
    assert registry.load("turnout.codecs", "x").Path is Path


def test_an_address_may_name_an_attribute_of_a_class():
    assert Registry(BUILTIN).load("turnout.scorers", "cwd")() == Path.cwd()


def test_a_registered_object_is_returned_as_it_is():
    registry, scorer = Registry(BUILTIN), object()
    registry.register("turnout.scorers", "mine", scorer)
    assert registry.load("turnout.scorers", "mine") is scorer


def test_a_registered_address_is_resolved_when_asked_for():
    registry = Registry(BUILTIN)
    registry.register("turnout.guards", "words", "pathlib:PurePath")
    assert registry.load("turnout.guards", "words").__name__ == "PurePath"


def test_names_are_sorted_and_import_nothing():
    registry = Registry({"turnout.scorers": {"b": "no_such_module:X", "a": "no_such_module:Y"}})
    registry.register("turnout.scorers", "c", object())
    assert registry.names("turnout.scorers") == ("a", "b", "c")


def test_a_taken_name_is_refused():
    registry = Registry(BUILTIN)
    assert problem(registry.register, "turnout.scorers", "path", object()) == (
        "turnout.scorers: 'path' is already registered; choose another name"
    )


def test_a_malformed_address_is_refused_when_it_is_registered():
    registry = Registry(BUILTIN)
    assert problem(registry.register, "turnout.scorers", "mine", "no-colon") == (
        "turnout.scorers: 'mine' is registered as 'no-colon'; expected module:attribute"
    )


def test_an_unknown_name_suggests_the_nearest():
    assert problem(Registry(BUILTIN).load, "turnout.scorers", "pth") == (
        "turnout.scorers: no 'pth'; did you mean \"path\"?"
    )


def test_an_unknown_name_far_from_all_lists_what_there_is():
    assert problem(Registry(BUILTIN).load, "turnout.scorers", "zzzzzz") == (
        "turnout.scorers: no 'zzzzzz'; known: cwd, path"
    )


def test_an_unknown_group_suggests_the_nearest():
    assert problem(Registry().load, "turnout.scorer", "cost") == (
        "no extension point 'turnout.scorer'; did you mean \"turnout.scorers\"?"
    )


def test_a_missing_dependency_of_a_builtin_is_named():
    registry = Registry({"turnout.stores": {"x": "no_such_module:X"}})
    assert problem(registry.load, "turnout.stores", "x") == (
        "turnout.stores: 'x' cannot be loaded: it needs the module no_such_module, which is not installed"
    )


def test_an_installed_plugin_is_found(plugins):
    plugins(
        "turnout-cheap",
        "[turnout.scorers]\ncheap = cheap_scorer:Cheap\n",
        {"cheap_scorer": "class Cheap: ..."},
    )
    registry = Registry(BUILTIN)
    assert registry.names("turnout.scorers") == ("cheap", "cwd", "path")
    assert registry.load("turnout.scorers", "cheap").__name__ == "Cheap"


def test_an_installed_plugin_cannot_replace_a_builtin(plugins):
    plugins(
        "turnout-rogue", "[turnout.scorers]\npath = rogue_scorer:Path\n", {"rogue_scorer": "class Path: ..."}
    )
    assert Registry(BUILTIN).load("turnout.scorers", "path") is Path


def test_a_broken_plugin_names_its_distribution(plugins):
    plugins(
        "turnout-broken",
        "[turnout.scorers]\nbad = bad_scorer:Bad\n",
        {"bad_scorer": "raise ValueError('no key')"},
    )
    assert problem(Registry(BUILTIN).load, "turnout.scorers", "bad") == (
        "turnout.scorers: 'bad' of turnout-broken 1.2 cannot be loaded: ValueError: no key"
    )


def test_a_plugin_without_its_attribute_names_its_distribution(plugins):
    plugins("turnout-empty", "[turnout.scorers]\nbad = empty_scorer:Bad\n", {"empty_scorer": ""})
    assert problem(Registry(BUILTIN).load, "turnout.scorers", "bad") == (
        "turnout.scorers: 'bad' of turnout-empty 1.2 cannot be loaded: "
        "AttributeError: module 'empty_scorer' has no attribute 'Bad'"
    )


def test_a_name_offered_twice_names_both_distributions(plugins):
    plugins("turnout-one", "[turnout.scorers]\nsame = one_scorer:X\n", {"one_scorer": "X = 1"})
    plugins("turnout-two", "[turnout.scorers]\nsame = two_scorer:X\n", {"two_scorer": "X = 2"})
    assert problem(Registry(BUILTIN).load, "turnout.scorers", "same") == (
        "turnout.scorers: 'same' is offered by turnout-one 1.2 and turnout-two 1.2; uninstall all but one"
    )


@pytest.mark.parametrize("group", GROUPS)
def test_every_builtin_can_be_loaded(group):
    registry = Registry()
    for name in BUILTINS[group]:
        assert registry.load(group, name) is not None


def test_no_suggestion_is_made_when_nothing_is_close():
    assert did_you_mean("zzz", ["priority"]) == ""
