"""What is counted in a text to tell instructions of an attacker from anything else. Floor 2."""

import re
import zlib
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import Final

N_HASHED: Final = 4096
WORDS: Final = re.compile(r"[^\W_]+|[^\w\s]")
MOST_WORDS: Final = 700
"""Of one segment or of the head of a prompt: what follows is looked at as another."""
LONGEST: Final = 300
SHORTEST: Final = 25
_SPLIT: Final = re.compile(r"\n+|(?<=[.!?])\s+(?=[^\W\d_a-z])")
_CUES: Final[tuple[str, ...]] = (
    (
        r"ignor\w*|disregard|forget|vergiss|ignoriere|oublie[rz]?|olvida|ignora|esquece|dimentica"
        r"|игнорир\w*|забудь|忽略|無視"
    ),
    (
        r"previous|above|prior|earlier|vorherig\w*|bisherig\w*|précédent\w*|anterior\w*|precedent\w*"
        r"|предыдущ\w*|之前|以上"
    ),
    (
        r"instruct\w*|prompt|rules?|guidelines?|anweisung\w*|consignes?|instruc\w+|istruzion\w*"
        r"|инструкц\w*|指令|指示"
    ),
    r"system|developer|admin(?:istrator)?|root|sudo|override|bypass|jailbr\w*|unlock\w*|unrestricted|uncensored",
    (
        r"pretend|role ?-?play|act as|you are now|from now on|persona"
        r"|simulat\w*|imagine you|du bist jetzt|tu es maintenant"
    ),
    (
        r"reveal|repeat|print|output|show me|leak|password|secret|key"
        r"|credential\w*|confidential|passwort|contraseña"
    ),
    (
        r"dan\b|do anything now|no (?:limits?|restrictions?|filters?)"
        r"|without (?:any )?(?:limits?|restrictions?|filter)"
    ),
    r"send|post|upload|forward|curl|requests?\.(?:post|get)|http|webhook|exfiltrat\w*",
    r"base64|rot13|decode|encoded|reverse[ds]?|cipher|hex\b",
    r"answer|respond|reply|response|translate|summari[sz]e|write|tell|explain|give|provide|include|mention",
    r"never|always|must|do not|don't|refuse|cannot|allowed|forbidden|ethic\w*|moral\w*|polic(?:y|ies)",
    r"(?:your|the|user'?s) (?:answer|response|reply|output|question|message)s?",
)
"""Words by which attacks announce themselves, in several languages; what each counts for is learnt."""
CUES: Final = tuple(re.compile(rf"(?<!\w)(?:{cue})(?!\w)", re.IGNORECASE) for cue in _CUES)
N_FEATURES: Final = N_HASHED + 2 * len(CUES)
_PAIR: Final = 0x9E3779B1


def segments(text: str) -> list[tuple[int, int]]:
    """Return the sentences and lines of a text as places; very short ones together, very long ones cut."""
    cuts = [0, *(match.end() for match in _SPLIT.finditer(text)), len(text)]
    found: list[tuple[int, int]] = []
    start = 0
    for end in cuts[1:]:
        if end - start < SHORTEST and end < len(text):
            continue
        while end - start > LONGEST:
            found.append((start, start + LONGEST))
            start += LONGEST
        if end > start:
            found.append((start, end))
        start = end
    return found


def grams(text: str) -> tuple[frozenset[int], float]:
    """Return the features of a text, and the weight of each of its words: 1 over the root of their number."""
    hashes = [_hash(word) for word in WORDS.findall(text.lower())[:MOST_WORDS]]
    found = {each % N_HASHED for each in hashes}
    found.update(
        ((one * _PAIR ^ two) & 0xFFFFFFFF) * _PAIR >> 7 & (N_HASHED - 1) for one, two in pairwise(hashes)
    )
    return frozenset(found), 4.0 / sqrt(max(len(found), 1))


def cues(text: str) -> list[int]:
    """Return which cues stand in a text, and which stand in it more than twice."""
    found: list[int] = []
    for at, cue in enumerate(CUES):
        matches = cue.finditer(text, 0, 8_192)
        n = sum(1 for _ in zip(matches, range(3), strict=False))
        if n:
            found.append(N_HASHED + at)
        if n > 2:
            found.append(N_HASHED + len(CUES) + at)
    return found


@lru_cache(maxsize=16_384)
def _hash(word: str) -> int:
    return zlib.crc32(word[:40].encode("utf-8", "surrogatepass"))
