"""Names of container images."""

from __future__ import annotations

import dataclasses
import re

DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """`REGISTRY/REPOSITORY[:TAG][@DIGEST]`. `version` is the digest where there is one, else the tag."""

    registry: str
    repository: str
    version: str

    @property
    def digest(self) -> str | None:
        """What the manifest must have, where the reference says."""
        return self.version if DIGEST.match(self.version) else None


def parse_reference(text: str) -> Reference:
    """The parts of a reference whose grammar was checked (`xvirt.model.names`)."""
    name, _, digest = text.partition("@")
    registry, _, rest = name.partition("/")
    repository, _, tag = rest.partition(":")
    return Reference(registry=registry, repository=repository, version=digest or tag or "latest")
