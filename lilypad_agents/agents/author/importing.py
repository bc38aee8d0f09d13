"""`module import`: where the old file lies, which commit it is of, and what becomes of the result."""

from __future__ import annotations

import re
from pathlib import Path

from lilypad_agents.agents.author.errors import ImportRefused, TargetTaken
from lilypad_agents.errors import ConfigurationError, UsageError
from lilypad_agents.execution.cache import write_atomically
from lilypad_agents.execution.errors import ResultRefused
from lilypad_agents.execution.oldmodule.importer import MAX_BYTES, Imported
from lilypad_agents.execution.oldmodule.report import Finding
from lilypad_agents.execution.pack import MANIFEST_NAME
from lilypad_agents.execution.plainfile import read_plain

OLD_NAME = "lilypad_module.json.tmpl"
_MOST_REFS = 16 * 2**20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"(?:https?://)?[\w.-]+\.[a-z]+/[\w./-]+(?::[\w./-]+)?")
# An image without its id cannot be published, but the manifest is whole but for that: lint names the field.
_MENDABLE = "image-by-tag"


def read_old(source: str) -> tuple[bytes, Path]:
    """The bytes of an old module's file and its path; `source` is the file or its folder. Raises UsageError, ConfigurationError."""
    path = Path(source).expanduser()
    if path.is_dir():
        path = path / OLD_NAME
    if not path.exists() and _REPOSITORY.fullmatch(source):
        raise UsageError(
            f"{source[:200]} is a repository; nothing is fetched by this command.",
            hint="Clone it (`git clone --depth 1 -b REF URL`), then import the folder.",
        )
    try:
        return read_plain(path, MAX_BYTES), path
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except ResultRefused as error:
        raise ConfigurationError(f"{path} cannot be read: {error.message}.", hint="It is a plain file of at most 64 KiB, no link.") from None


def module_name(path: Path) -> str:
    """A module name from the folder's: `lilypad-module-cowsay` gives cowsay."""
    name = path.absolute().parent.name.lower().removeprefix("lilypad-module-")
    name = re.sub(r"[^a-z0-9-]+", "-", name).strip("-")[:63]
    return name or "module"


def commit_of(folder: Path) -> tuple[str | None, str | None]:
    """(branch or tag, commit) of a git checkout, read from its plain files; None for what is not known. Runs no git."""
    git = folder.absolute() / ".git"
    try:
        head = _small(git / "HEAD").strip()
        if _COMMIT.fullmatch(head):
            return None, head
        ref = head.removeprefix("ref: ")
        if not re.fullmatch(r"refs/[\w./-]+", ref) or ".." in ref:
            return None, None
        loose = git.joinpath(*ref.split("/"))
        found = _small(loose).strip() if loose.is_file() else _packed(git, ref)
    except (OSError, UnicodeDecodeError, ResultRefused):
        return None, None
    return ref.rpartition("/")[2], found if found and _COMMIT.fullmatch(found) else None


def _packed(git: Path, ref: str) -> str | None:
    for line in _small(git / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return None


def _small(path: Path) -> str:
    return read_plain(path, _MOST_REFS).decode("ascii")


def blocking(imported: Imported) -> list[Finding]:
    """The errors that leave no usable manifest."""
    return [finding for finding in imported.report.errors if finding.code != _MENDABLE]


def refusal_of(imported: Imported) -> ImportRefused | None:
    """The error to end with; None when there is a manifest to go on with."""
    found = blocking(imported)
    if not found:
        return None
    return ImportRefused(f"{len(found)} findings have to be mended first.", errors=sorted({finding.code for finding in found}))


def write_imported(imported: Imported, folder: Path) -> Path:
    """Writes the manifest. Raises TargetTaken when there is another one, or a link: an old module's folder is a stranger's."""
    path = folder / MANIFEST_NAME
    data = imported.manifest_bytes()
    if path.is_symlink() or path.exists() and (not path.is_file() or path.read_bytes() != data):
        raise TargetTaken(f"{path} exists and is another one.", path=str(path))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    return path
