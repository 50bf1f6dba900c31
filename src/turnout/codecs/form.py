"""`multipart/form-data` (RFC 7578) as a value, written sans-IO. Floor 2.

Parts keep their order, names, kinds and bytes: an upstream gets the form its client sent, but for the fields
that were replaced. The boundary is one that nobody could know, and so put into a part.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from turnout.errors import InvalidRequest
from turnout.types.task import Form, FormPart


def write(form: Form) -> bytes:
    """Return the body of a form."""
    pieces: list[bytes] = []
    for part in form.parts:
        pieces += (b"--", form.boundary, b"\r\n", _head(part), b"\r\n\r\n", part.value, b"\r\n")
    return b"".join((*pieces, b"--", form.boundary, b"--\r\n"))


def content_type(form: Form) -> bytes:
    """Return the content type of a form's body."""
    return b'multipart/form-data; boundary="%b"' % form.boundary


def with_field(form: Form, name: str, text: str) -> Form:
    """Return a form with a field in place of the one of that name, or behind all others."""
    parts: list[FormPart] = []
    is_there = False
    for part in form.parts:
        if part.name == name and part.filename is None:
            is_there = True
            parts.append(replace(part, value=text.encode()))
        else:
            parts.append(part)
    return Form(form.boundary, tuple(parts) if is_there else (*parts, FormPart(name, text.encode())))


def fields(form: Form) -> Mapping[str, str]:
    """Return the fields that are not files, by name; of a list (`name[]`), the first.

    Raises:
        InvalidRequest: One is no UTF-8, or one that is no list stands twice: whom would it mean?
    """
    found: dict[str, str] = {}
    for part in form.parts:
        name = part.name[:64]
        if part.filename is not None:
            continue
        try:
            text = part.value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{name} is not valid UTF-8", param=name) from error
        if part.name in found and not part.name.endswith("[]"):
            raise InvalidRequest(f"{name} stands twice in the form", param=name)
        found.setdefault(part.name, text)
    return found


def _head(part: FormPart) -> bytes:
    head = f'Content-Disposition: form-data; name="{_quoted(part.name)}"'
    if part.filename is not None:
        head += f'; filename="{_quoted(part.filename)}"'
    if part.mime:
        head += f"\r\nContent-Type: {_line(part.mime)}"
    return head.encode()


def _quoted(text: str) -> str:
    return _line(text).replace("\\", "\\\\").replace('"', '\\"')


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
