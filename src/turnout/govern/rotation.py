"""A pepper replaced by another one, and keys that follow it. Floor 5.

Theory of operation.

1. Two peppers are accepted, so a rotation ends nothing. What is issued from then on is under the new one; a
   key that is presented under the old one is written down under the new one by the gateway that saw it.
2. A second rotation would end the keys that were not presented in between. It is refused while there are
   any, unless it is asked for by name.
3. A rotation is a change of the desk: gateways see its revision grow and read their peppers again. The file
   is replaced first; a gateway that reads it before the desk says so has both.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from turnout.errors import Conflict
from turnout.govern.keys import read_key
from turnout.govern.office import Office, encode
from turnout.govern.pepper import peppers_in, rotate_in
from turnout.govern.rules import Actor
from turnout.govern.tokens import read_token
from turnout.stores.desk.base import Change, Document
from turnout.types.account import Key, Kind, Token

_PAGE: Final = 500
_GATEWAY: Final = Actor(id="gateway", role="none")
_KINDS: Final[tuple[Kind, ...]] = ("key", "token")


async def census(office: Office) -> Mapping[str, int]:
    """Return how many keys and tokens that work or rest are digested under which pepper, by its id."""
    found: Counter[str] = Counter()
    now = office.now()
    for kind in _KINDS:
        after = ""
        while rows := await office.desk.list(kind, after=after, limit=_PAGE):
            for row in rows:
                each = _read(row)
                if each.digest and (each.expires is None or each.expires > now):
                    found[each.pepper_id] += 1
            after = rows[-1].id
    return found


async def rotate(office: Office, actor: Actor, path: Path, *, ending: bool = False) -> str:
    """Put a new pepper before the present one; return its id.

    Args:
        office: Whose peppers lie in the file.
        actor: Who.
        path: The file.
        ending: Rotate although keys end by it.

    Raises:
        Conflict: Keys would end.
    """
    before = peppers_in(path)
    counted = await census(office)
    n_ending = sum(counted.get(pepper.id, 0) for pepper in before.accepted[1:])
    if n_ending and not ending:
        raise Conflict(
            f"{n_ending} keys were not used since the last rotation and would end; wait for them, rotate or "
            "revoke them, or say --ending"
        )
    office.peppers = after = rotate_in(path)
    document = Document(
        kind="pepper", id=after.newest.id, body=encode({"id": after.newest.id, "since": office.now()})
    )
    act = office.act(
        actor, "pepper.rotate", document, facts={"pepper_id": after.newest.id, "n_ended": n_ending}
    )
    await office.write([Change(document=document)], act)
    return after.newest.id


async def write_moved(office: Office, name: str, pepper_id: str, digest: str) -> None:
    """Write a key or a token down under the newest pepper, unless there is a newer one by now.

    Raises:
        Conflict: Somebody else changed it.
    """
    kind: Kind = "token" if name.startswith("token_") else "key"
    old = await office.desk.get(kind, name)
    newest = office.peppers.newest.id
    if old is None or pepper_id != newest or not _read(old).digest or _read(old).pepper_id == newest:
        return
    after = msgspec.structs.replace(_read(old), digest=digest, pepper_id=newest)
    new = msgspec.structs.replace(old, body=encode(after))
    act = office.act(_GATEWAY, f"{kind}.repepper", new, old, {"pepper_id": newest})
    await office.write([Change(document=new)], act)


def _read(document: Document) -> Key | Token:
    return read_token(document) if document.kind == "token" else read_key(document)
