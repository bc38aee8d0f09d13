"""How people name modules, as text and as values. Grammar: notes/modules-and-api.md section 4. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lilypad_agents.agents.creator.errors import ReferenceInvalid

_NAME = r"[a-z0-9][a-z0-9-]{0,62}"
_VERSION = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
_PUBLISHER = rf"0x[0-9a-fA-F]{{40}}|{_NAME}"
_FULL = re.compile(rf"(?:(?P<publisher>{_PUBLISHER})/)?(?P<name>{_NAME})(?::(?P<version>{_VERSION}))?")
_DIGEST = re.compile(rf"(?P<publisher>{_PUBLISHER})/(?P<name>{_NAME})@sha256:(?P<digest>[0-9a-fA-F]{{64}})")
_VERSION_ID = re.compile(r"0x[0-9a-fA-F]{64}")
_MANIFEST_CID = re.compile(r"bafkrei[a-z2-7]{52}")
_REPOSITORY = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+/[^/\s]+/[^/\s:]+:[^\s]+", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """`publisher/name:version`; without a publisher an alias of the trusted lists, without a version the newest."""

    publisher: str | None
    name: str
    version: str | None

    @property
    def label(self) -> str:
        """The name as a curated list has it."""
        return f"{self.name}:{self.version}" if self.version else self.name


@dataclass(frozen=True)
class ByVersionId:
    """A version id, 32 bytes: the hash of the module terms."""

    version: bytes


@dataclass(frozen=True)
class ByManifest:
    """A manifest by its sha2-256 (32 bytes), with the name that it must have if one was given."""

    digest: bytes
    publisher: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class LocalFolder:
    """A module's source folder on this machine."""

    path: str


Reference = Named | ByVersionId | ByManifest | LocalFolder


def parse_reference(text: str) -> Reference:
    """The module that a text names. Raises ReferenceInvalid, which says what the forms are."""
    if text.startswith((".", "/", "~")) or text.endswith("lilypad_module.json"):
        return LocalFolder(text)
    if _VERSION_ID.fullmatch(text):
        return ByVersionId(bytes.fromhex(text[2:]))
    if _MANIFEST_CID.fullmatch(text):
        from lilypad_agents.content.cid import Cid

        return ByManifest(Cid.parse(text).digest)
    if match := _DIGEST.fullmatch(text):
        return ByManifest(bytes.fromhex(match["digest"]), match["publisher"], match["name"])
    if match := _FULL.fullmatch(text):
        return Named(match["publisher"], match["name"], match["version"])
    if _REPOSITORY.fullmatch(text):
        raise ReferenceInvalid(
            f"{text!r} is a repository of old-style modules, which has to be imported first.",
            hint=f"Import it with `lilypad module import {text[:200]}`; or run a published module.",
            found=text[:200],
        )
    raise ReferenceInvalid(f"{text[:200]!r} names no module.", found=text[:200])


def version_spellings(version: str) -> tuple[str, ...]:
    """The version as written, then with or without a leading `v`: both mean the same version."""
    other = version[1:] if version.startswith("v") and version[1:2].isdigit() else f"v{version}" if version[:1].isdigit() else ""
    return (version, other) if other else (version,)


_SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def semver_key(version: str) -> tuple[object, ...] | None:
    """A sorting key by SemVer 2.0.0 precedence, or None for a version that does not parse."""
    match = _SEMVER.fullmatch(version)
    if match is None:
        return None
    numbers = tuple(int(match[index]) for index in (1, 2, 3))
    if match[4] is None:
        return (*numbers, 1)
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split("."))
    return (*numbers, 0, parts)
