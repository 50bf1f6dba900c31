"""Write docs/reference/ from the code (`make docs`), so that the reference cannot say something else.

`--check` writes nothing and fails when a page is not what the code says.
"""

import ast
import inspect
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import click
import msgspec

import turnout
from turnout.cli.main import cli
from turnout.config import Config
from turnout.errors import TAXONOMY
from turnout.server.admin.permits import PERMITS, ROLES
from turnout.server.families import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference.py from {source}; change that and run `make docs`. -->"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Write a Markdown table; bars inside cells are escaped."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(title: str, source: str, *parts: str) -> str:
    """Write a page: title, where it comes from, its parts."""
    return "\n\n".join([f"# {title}", NOTE.format(source=source), *parts]) + "\n"


def first_line(thing: object) -> str:
    """Return the first line of a docstring; "" where a union or an alias has none."""
    documented = isinstance(thing, type) or inspect.isfunction(thing)
    return (inspect.getdoc(thing) or "").partition("\n")[0] if documented else ""


def errors() -> str:
    """Every class of failure a caller can meet."""
    rows = [
        (
            f"`{word}`",
            f"`{kind.__name__}`",
            str(kind.domain),
            str(kind.row.status),
            str(kind.row.retry).replace("_", " "),
            str(kind.row.fallback).replace("_", " "),
            first_line(kind),
        )
        for word, kind in TAXONOMY.items()
    ]
    text = "The word is the same in error bodies, headers, logs, metrics and Records. *Retry* is the same\n"
    text += "deployment again, *fallback* the next node of the plan. How each looks in a client's dialect: "
    text += "[WIRE.md](../design/WIRE.md), section 9."
    header = ("word", "class", "whose fault", "status", "retry", "fallback", "what it means")
    return page("Errors", "src/turnout/errors/", text, table(header, rows))


def metrics() -> str:
    """Every metric of the gateway."""
    rows = []
    for family in FAMILIES:
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in family.labels)
        otel = family.otel or family.name.replace("_", ".", 1)
        rows.append((f"`{name}`", family.kind, labels, family.about, f"`{otel}`"))
    text = "At `/metrics` of `server.metrics_port`, over all workers; the same numbers leave through\n"
    text += "`telemetry.otlp`. Labels are closed words or configured names: no key, user or free text is\n"
    text += (
        "among them. A family has at most 1,000 series a worker; everything more is counted with all labels\n"
    )
    text += "`other`. How to read them: [observability](../how-to/observability.md)."
    return page(
        "Metrics",
        "src/turnout/server/families.py",
        text,
        table(("name", "kind", "labels", "what it counts", "OpenTelemetry"), rows),
    )


def public_names() -> str:
    """Everything a program may import."""
    rows = []
    for name in turnout.__all__:
        value = getattr(turnout, name)
        union = ", ".join(f"`{each.__name__}`" for each in get_args(value) if isinstance(each, type))
        rows.append((f"`{name}`", first_line(value) or f"One of {union}."))
    text = "What `turnout` exports is public; everything else may change in any release."
    return page("Python names", "the docstrings", text, table(("name", "what it is for"), rows))


def vendors() -> str:
    """The rows of the vendor table."""
    rows = tomllib.loads((ROOT / "src/turnout/catalog/vendors.toml").read_text(encoding="utf-8"))
    lines = [
        (
            f"`{name}`",
            f"`{row.get('codec', 'openai_chat')}`",
            f"`{row['base_url']}`",
            ", ".join(f"`{variable}`" for variable in row.get("env", [])) or "-",
        )
        for name, row in sorted(rows.items())
    ]
    text = (
        "A provider of the configuration file with one of these names needs nothing but its key. `{…}` in\n"
    )
    text += "an address is given under `parameters`. Other OpenAI-compatible hosts work with a `base_url`."
    header = ("provider", "wire format", "address", "key is read from")
    return page("Vendors", "src/turnout/catalog/vendors.toml", text, table(header, lines))


def configuration() -> str:
    """Every key of the configuration file."""
    text = (
        "`turnout check --schema` prints the same as JSON Schema. Unknown keys are refused. Types such as\n"
    )
    text += "`AtLeastOne` are numbers with the range that their name says; a `Port` is 0 to 65535."
    parts = [text]
    for path, kind in sections(Config, ""):
        rows = [
            (f"`{name}`", f"`{hint}`", f"`{default}`" if default else "required", doc)
            for name, hint, default, doc in keys(kind)
        ]
        tag = kind.__struct_config__.tag
        parts += [
            f"## {path or 'Top level'}" + (f" (type: {tag})" if tag else ""),
            first_line(kind),
            table(("key", "type", "default", "meaning"), rows),
        ]
    return page("Configuration file", "src/turnout/config/shape.py", *parts)


def sections(kind: type[msgspec.Struct], path: str) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Walk the tree of sections, each with the path under which it stands."""
    yield path, kind
    for field in msgspec.structs.fields(kind):
        for below, many in structs_in(field.type):
            yield from sections(below, f"{path}.{field.name}".lstrip(".") + many)


def structs_in(hint: object) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """The sections a key may hold, with `[]` for a list of them and `.*` for named ones."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint, ""
    many = {tuple: "[]", dict: ".*", Mapping: ".*"}.get(getattr(hint, "__origin__", None), "")
    for argument in get_args(hint):
        yield from ((kind, many + below) for kind, below in structs_in(argument))


def keys(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and documentation of every key, those it inherits first."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    found: dict[str, tuple[str, str, str, str]] = {}
    for each in reversed(kind.__mro__[: kind.__mro__.index(msgspec.Struct)]):
        for name, hint, default, doc in own_keys(each):
            if name in names:
                before = found.get(name, ("",) * 4)
                found[name] = (names[name], hint, default, doc or before[3])
    yield from found.values()


def own_keys(kind: type) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and documentation of the fields of one class, as its source writes them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            doc = inspect.cleandoc(str(after.value.value)).replace("\n", " ") if documented else ""
            default = ast.unparse(node.value) if node.value else ""
            yield ast.unparse(node.target), ast.unparse(node.annotation), default, doc


def commands() -> str:
    """The help of every command."""
    return page("Command line", "src/turnout/cli", *(part for text in helps(cli, "turnout") for part in text))


def helps(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Heading and help text of a command and of all below it."""
    context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    yield f"## `{name}`", f"```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            yield from helps(below, f"{name} {word}")


def roles() -> str:
    """Who may use which path of the admin API."""
    letters = {"own objects": "s", "own organisation": "o", "all": "Y"}
    rows = [
        (
            f"`{permit.method} {permit.path}`",
            *(letters[permit.roles[role]] if role in permit.roles else "–" for role in ROLES),
            "keys of no organisation only" if permit.whole else "",
        )
        for permit in PERMITS
    ]
    text = "Paths stand under `/admin/v1`. s = what the key itself did, o = its organisation, Y = all. A\n"
    text += "key of no organisation reaches all where its role reaches an organisation. What is out of\n"
    text += "reach answers 404, a role that may not 403, no key 401. Each refusal is in the audit log.\n"
    text += "How to use it: [administer a gateway over HTTP](../how-to/admin.md)."
    return page(
        "Roles and paths", "src/turnout/server/admin/permits.py", text, table(("path", *ROLES, "note"), rows)
    )


PAGES = {
    "cli.md": commands,
    "configuration.md": configuration,
    "errors.md": errors,
    "metrics.md": metrics,
    "python.md": public_names,
    "roles.md": roles,
    "vendors.md": vendors,
}


def main() -> None:
    """Write every page, or tell which are stale."""
    fresh = {FOLDER / name: write() for name, write in PAGES.items()}
    stale = [at for at, text in fresh.items() if not at.exists() or at.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        sys.exit("".join(f"{at.relative_to(ROOT)} is stale: run `make docs`\n" for at in stale) or 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for at in stale:
        at.write_text(fresh[at], encoding="utf-8")
        print(f"· wrote {at.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
