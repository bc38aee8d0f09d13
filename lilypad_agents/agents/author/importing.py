"""`module import`: where the old file lies, which commit it is of, and what becomes of the result."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from lilypad_agents.agents.author.errors import ImportRefused, RefMoved, TargetTaken
from lilypad_agents.agents.author.repository import COMMIT, FetchPolicy, Repository, fetch_file, local_repository, repository_of
from lilypad_agents.errors import ConfigurationError, UsageError
from lilypad_agents.execution.cache import write_atomically
from lilypad_agents.execution.errors import ResultRefused
from lilypad_agents.execution.oldmodule.importer import MAX_BYTES, Imported
from lilypad_agents.execution.oldmodule.report import Finding
from lilypad_agents.execution.pack import MANIFEST_NAME
from lilypad_agents.execution.plainfile import read_plain

OLD_NAME = "lilypad_module.json.tmpl"
PINS = Path("~/.lilypad/imported-tags.json")
_MOST_REFS = 16 * 2**20
# An image without its id cannot be published, but the manifest is whole but for that: lint names the field.
_MENDABLE = "image-by-tag"


@dataclass(frozen=True)
class OldModule:
    """An old module's file and where it comes from. `shown`: its name for people; `folder`: where its manifest goes by default."""

    raw: bytes
    shown: str
    name: str
    folder: Path
    repository: str | None = None
    ref: str | None = None
    commit: str | None = None


def find_old(source: str, ref: str | None = None, commit: str | None = None, pins: Path = PINS, policy: FetchPolicy = FetchPolicy()) -> OldModule:
    """The old module that `source` names: a file, its folder, or a git repository at a tag, branch or commit.

    A folder is read as it lies there, unless `ref` is given and it is a repository. `commit`: the one that a tag has to
    mean; without it, the one that it meant when it was fetched first, by the file `pins`. Raises UsageError,
    ConfigurationError, RefMoved, and what `fetch_file` raises.
    """
    path = Path(source).expanduser()
    if path.exists():
        repository = local_repository(path, ref) if path.is_dir() and (ref or not (path / OLD_NAME).exists()) else None
    else:
        repository = repository_of(source)
    if repository is None and commit is not None:
        raise UsageError("--commit needs a repository to fetch from.", hint="Name a repository, and its tag with --ref.")
    if repository is None:
        raw, file = read_old(path)
        branch, found = commit_of(file.parent)
        return OldModule(raw, file.name, module_name(file.absolute().parent.name), file.parent, None, ref or branch, found)
    if ref and repository.ref not in (None, ref):
        raise UsageError(f"{source[:200]} names {repository.ref}, --ref names {ref[:200]}.", hint="Give one of them.")
    return _fetched(replace(repository, ref=repository.ref or ref), commit, pins, policy)


def _fetched(repository: Repository, commit: str | None, pins: Path, policy: FetchPolicy) -> OldModule:
    pins = pins.expanduser()
    known = _pins(pins)
    found = fetch_file(repository, OLD_NAME, MAX_BYTES, policy)
    expected = commit or (known.get(repository.location, {}).get(found.full_ref) if found.is_tag else None)
    if expected not in (None, found.commit):
        raise RefMoved(
            f"{repository.ref} of {repository.location} is {found.commit}; {expected} was expected.",
            ref=repository.ref, known=expected, found=found.commit,
        )  # fmt: skip
    if found.is_tag:
        known.setdefault(repository.location, {})[found.full_ref] = found.commit
        pins.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(pins, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    name = module_name(repository.folder_name)
    web = None if repository.is_local else repository.location
    return OldModule(found.data, OLD_NAME, name, Path(name), web, repository.ref, found.commit)


def _pins(path: Path) -> dict[str, dict[str, str]]:
    """Commits of tags by repository. A file that cannot be read is an error: it must not be forgotten silently."""
    try:
        found = json.loads(read_plain(path, _MOST_REFS))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, ResultRefused):
        found = None
    if not isinstance(found, dict) or not all(isinstance(refs, dict) for refs in found.values()):
        raise ConfigurationError(f"{path}, which remembers the commits of imported tags, cannot be read.", hint="Mend it, or move it away.")
    return found


def read_old(source: Path) -> tuple[bytes, Path]:
    """The bytes of an old module's file and its path; `source` is the file or its folder. Raises ConfigurationError."""
    path = source / OLD_NAME if source.is_dir() else source
    try:
        return read_plain(path, MAX_BYTES), path
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except ResultRefused as error:
        raise ConfigurationError(f"{path} cannot be read: {error.message}.", hint="It is a plain file of at most 64 KiB, no link.") from None


def module_name(folder: str) -> str:
    """A module name from a folder's: `lilypad-module-cowsay` gives cowsay."""
    name = folder.lower().removeprefix("lilypad-module-")
    name = re.sub(r"[^a-z0-9-]+", "-", name).strip("-")[:63]
    return name or "module"


def commit_of(folder: Path) -> tuple[str | None, str | None]:
    """(branch or tag, commit) of a git checkout, read from its plain files; None for what is not known. Runs no git."""
    git = folder.absolute() / ".git"
    try:
        head = _small(git / "HEAD").strip()
        if COMMIT.fullmatch(head):
            return None, head
        ref = head.removeprefix("ref: ")
        if not re.fullmatch(r"refs/[\w./-]+", ref) or ".." in ref:
            return None, None
        loose = git.joinpath(*ref.split("/"))
        found = _small(loose).strip() if loose.is_file() else _packed(git, ref)
    except (OSError, UnicodeDecodeError, ResultRefused):
        return None, None
    return ref.rpartition("/")[2], found if found and COMMIT.fullmatch(found) else None


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
