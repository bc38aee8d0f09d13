"""One file of a stranger's git repository at a tag or commit, without anything else of it coming to life. flt:S13

Nothing is checked out: a shallow fetch into a bare folder that is thrown away, then one blob is read by its name in the
commit's tree. So there are no hooks, filters, links, submodules or attributes. Of the web only https is spoken, to
addresses that were looked up once, are public, and are pinned for git; redirects, alternates and bundle addresses are
not followed; no credentials, proxies or settings of the user are seen. Caps on time, memory and bytes end the rest.
"""

from __future__ import annotations

import ipaddress
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lilypad_agents.agents.author.errors import RepositoryRefused, RepositoryUnavailable
from lilypad_agents.errors import ConfigurationError

OLD_ORGANISATION = "https://github.com/Lilypad-Tech/lilypad-module-"  # what `name:ref` meant to the older generations
COMMIT = re.compile(r"[0-9a-f]{40}")
_REF = re.compile(r"[A-Za-z0-9][\w.+-]*(?:/[A-Za-z0-9][\w.+-]*)*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PATH = re.compile(r"(?:/[\w~][\w.~-]*)+")
_SHORT = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]{0,62}):(?P<ref>[A-Za-z0-9][\w.+-]*)")
_LEGACY = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?/\S+")
_OLDEST_GIT = (2, 37)
_ANSWER_BYTES = 64 * 1024 + 1  # a module's file of the old format has at most 64 KiB
_REMOTE = "it"
_WHERE = "refs/lilypad/it"

Resolve = Callable[[str, int], list[str]]


def _look_up(host: str, port: int) -> list[str]:
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})


@dataclass(frozen=True)
class FetchPolicy:
    """What a fetch may do. `seconds` for all of it, `file_bytes` for the largest file that git writes, `memory_bytes` for git.

    Only tests widen `schemes` or `private`; no command does.
    """

    schemes: frozenset[str] = frozenset({"https"})
    private: bool = False
    seconds: float = 60.0
    file_bytes: int = 64 * 2**20
    memory_bytes: int = 2 * 2**30
    resolve: Resolve = field(default=_look_up)


@dataclass(frozen=True)
class Repository:
    """Where to fetch from: a web address without its ref, or an absolute path. `ref` as written, None where none was."""

    location: str
    ref: str | None
    is_local: bool = False

    @property
    def folder_name(self) -> str:
        return self.location.rstrip("/").rpartition("/")[2].removesuffix(".git")


@dataclass(frozen=True)
class Fetched:
    """`full_ref`: `refs/tags/...` or `refs/heads/...`; the commit itself where it was named by its digits."""

    data: bytes
    commit: str
    full_ref: str

    @property
    def is_tag(self) -> bool:
        return self.full_ref.startswith("refs/tags/")


# ---- which repository a text means


def repository_of(source: str) -> Repository | None:
    """The repository on the web that a text means; None for what reads like a path. Raises RepositoryRefused.

    Forms: `https://host/user/repo[:ref]`, `host/user/repo:ref`, and `name:ref` of the older generations.
    """
    if match := _SHORT.fullmatch(source):
        return Repository(OLD_ORGANISATION + match["name"], match["ref"])
    if "://" not in source and "::" not in source and not _LEGACY.fullmatch(source):
        if re.fullmatch(r"[\w.-]+@[^/]+:.*", source):
            raise _refused(source, "is an address of ssh")
        return None
    url = source if "://" in source or "::" in source else f"https://{source}"
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[a-z]+", scheme):
        raise _refused(source, "names a transport that is not spoken")
    authority, slash, path = rest.partition("/")
    path, _, ref = path.partition(":")
    return Repository(f"{scheme}://{authority}{slash}{path}", ref or None)


def local_repository(folder: Path, ref: str | None) -> Repository | None:
    """The git repository that a folder of this machine is, with or without a work tree; None when it is none."""
    here = folder.absolute()
    bare = all((here / part).exists() for part in ("HEAD", "objects", "refs"))
    return Repository(str(here), ref, is_local=True) if bare or (here / ".git").exists() else None


def _refused(source: str, problem: str, **figures: object) -> RepositoryRefused:
    return RepositoryRefused(f"{source[:200]!r} {problem}.", found=source[:200], **figures)


# ---- fetching


def fetch_file(repository: Repository, path: str, most_bytes: int, policy: FetchPolicy = FetchPolicy()) -> Fetched:
    """The file at `path` of the commit that the repository's ref means now, at most `most_bytes`.

    Raises RepositoryRefused (address, ref, or what lies at `path`), RepositoryUnavailable, ConfigurationError without git.
    """
    ref = repository.ref
    if ref is None or not _REF.fullmatch(ref) or ".." in ref or len(ref) > 200 or ref.endswith((".", ".lock")):
        raise _refused(ref or repository.location, "is no tag, branch or commit" if ref else "needs a tag or commit")
    with _git(repository, policy) as git:
        full_ref, expected = _find(git, repository.location, ref)
        wanted = full_ref or ref
        git.run("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
                f"--filter=blob:limit={most_bytes + 1}", "--", _REMOTE, f"+{wanted}:{_WHERE}")  # fmt: skip
        git.go_offline()
        commit = git.run("rev-parse", "--verify", f"{_WHERE}^{{commit}}").decode().strip()
        if not COMMIT.fullmatch(commit):
            raise _refused(ref, "gives no commit")
        if expected not in (None, commit):
            raise RepositoryUnavailable(f"{ref} moved while it was fetched.", ref=ref)
        return Fetched(_blob(git, commit, path, most_bytes), commit, full_ref or commit)


def _find(git: _Git, location: str, ref: str) -> tuple[str | None, str | None]:
    """(full name, commit) of a tag or branch; a commit's digits need no look."""
    if COMMIT.fullmatch(ref):
        return None, ref
    names = [f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}", f"refs/heads/{ref}"]
    found: dict[str, str] = {}
    for line in git.run("ls-remote", "--quiet", "--", _REMOTE, *names).decode(errors="replace").splitlines():
        commit, _, name = line.partition("\t")
        if name in names and COMMIT.fullmatch(commit):
            found[name] = commit
    tag, branch = found.get(names[1], found.get(names[0])), found.get(names[2])
    if tag is None and branch is None:
        raise RepositoryRefused(f"{location} has no tag or branch {ref}.", ref=ref, tried=names[::2])
    if tag is not None and branch is not None and tag != branch:
        raise _refused(ref, "is a tag and a branch there, which differ; name the commit", tag=tag, branch=branch)
    return (names[0], tag) if tag is not None else (names[2], branch)


def _blob(git: _Git, commit: str, path: str, most_bytes: int) -> bytes:
    listed = git.run("ls-tree", "-z", "--full-tree", commit, "--", path).decode(errors="replace").split("\0")[0]
    kind, _, name = listed.partition("\t")
    mode, _, rest = kind.partition(" ")
    if name != path:
        raise _refused(path, f"is not in the commit {commit}", commit=commit)
    if mode not in ("100644", "100755"):
        raise _refused(path, "is no plain file there", mode=mode)
    blob = rest.partition(" ")[2]
    size = git.try_run("cat-file", "-s", blob)
    if size is None or int(size) > most_bytes:  # the filter left larger ones out
        raise _refused(path, f"has more than {most_bytes} bytes there", allowed=most_bytes)
    return git.run("cat-file", "blob", blob)


class _Git:
    """Runs git in a folder of its own with an environment of its own, up to one deadline for all of it."""

    def __init__(self, folder: Path, environment: dict[str, str], policy: FetchPolicy, program: str) -> None:
        self._folder = folder
        self._environment = environment
        self._policy = policy
        self._program = program
        self._deadline = time.monotonic() + policy.seconds

    def go_offline(self) -> None:
        """From here on no transport is allowed, so that what was left out cannot be fetched behind our back."""
        self._environment = {**self._environment, "GIT_ALLOW_PROTOCOL": "none"}

    def run(self, *words: str) -> bytes:
        """Standard output, at most 64 KiB of it. Raises RepositoryUnavailable."""
        code, out, error = self._run(words)
        if code == 0 and len(out) <= _ANSWER_BYTES:
            return out
        said = error.decode(errors="replace").strip().splitlines()
        what = "was ended at a limit of bytes, memory or time" if code < 0 else said[-1][:200] if said else "said too much"
        raise RepositoryUnavailable(f"git {words[0]}: {what}.", step=words[0])

    def try_run(self, *words: str) -> bytes | None:
        """Standard output; None when git failed."""
        code, out, _ = self._run(words)
        return out if code == 0 else None

    def _run(self, words: tuple[str, ...]) -> tuple[int, bytes, bytes]:
        out, error = self._folder / "out", self._folder / "error"
        with open(out, "wb") as to, open(error, "wb") as errors:
            process = subprocess.Popen(
                [self._program, *words], cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=to,
                stderr=errors, start_new_session=True, preexec_fn=self._limit,
            )  # fmt: skip
            try:
                code = process.wait(max(0.0, self._deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                code = -signal.SIGKILL
            finally:
                _end_group(process)
        return code, _start_of(out), _start_of(error)

    def _limit(self) -> None:
        for what, most in (
            (resource.RLIMIT_FSIZE, self._policy.file_bytes),
            (resource.RLIMIT_AS, self._policy.memory_bytes),
            (resource.RLIMIT_CPU, int(self._policy.seconds) + 1),
            (resource.RLIMIT_CORE, 0),
        ):
            ceiling = resource.getrlimit(what)[1]
            most = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
            resource.setrlimit(what, (most, most))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Git's helpers are in its group; none of them is left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _start_of(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_ANSWER_BYTES + 1)


@contextmanager
def _git(repository: Repository, policy: FetchPolicy) -> Iterator[_Git]:
    program = shutil.which("git")
    if program is None:
        raise ConfigurationError("git is not installed here.", hint="Install git, or import a folder that you have.")
    settings, protocols = {**_SETTINGS, f"remote.{_REMOTE}.url": repository.location}, "file"
    if not repository.is_local:
        settings["http.curloptResolve"] = _pinned(repository.location, policy)
        protocols = ":".join(sorted(policy.schemes))
    with tempfile.TemporaryDirectory(prefix="lilypad-import-") as name:
        folder = Path(name)
        bare = folder / "it.git"
        environment = {
            "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": name, "TMPDIR": name,
            "GIT_DIR": str(bare), "GIT_ALLOW_PROTOCOL": protocols, "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }  # fmt: skip
        for number, (key, value) in enumerate(settings.items()):
            environment[f"GIT_CONFIG_KEY_{number}"], environment[f"GIT_CONFIG_VALUE_{number}"] = key, value
        git = _Git(folder, environment, policy, program)
        if not repository.is_local:
            _require_pinning(git.run("version").decode())
        git.run("init", "--quiet", "--bare", "--template=", str(bare))
        yield git


_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.bigFileThreshold": "1m",  # larger objects are streamed, never held or compared
    "credential.helper": "",
    "fetch.unpackLimit": "1",  # always one pack, so that the limit on a file's size is one on all of it
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.followRedirects": "false",  # nor alternates, which a plain file server may name
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "20",
    "http.proxy": "",
    "pack.threads": "1",
    "protocol.version": "2",
    "transfer.bundleURI": "false",
}


def _pinned(location: str, policy: FetchPolicy) -> str:
    """`host:port:addresses` for git: the host looked up once, every address public. Raises RepositoryRefused, RepositoryUnavailable."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        raise _refused(location, "is no web address") from None
    if parts.scheme not in policy.schemes:
        raise _refused(location, f"is not fetched by {parts.scheme}; {', '.join(sorted(policy.schemes))} is", scheme=parts.scheme)
    if re.search(r"[\s@?#]", location):
        raise _refused(location, "holds credentials, a query, a fragment or a space")
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(parts.path) or not port:
        raise _refused(location, "is no plain address of a host and a path")
    try:
        addresses = policy.resolve(host, port)
    except OSError as error:
        raise RepositoryUnavailable(f"{host} cannot be looked up: {error.strerror}.", host=host) from None
    for address in addresses:
        if not policy.private and not _is_public(address):
            raise _refused(location, f"leads to {address}, which is no public address", address=address)
    if not addresses:
        raise RepositoryUnavailable(f"{host} has no address.", host=host)
    shown = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
    return f"{host}:{port}:{shown}"


def _require_pinning(version: str) -> None:
    """Older releases know no `http.curloptResolve` and would look the host up a second time."""
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST_GIT:
        raise ConfigurationError(f"{version.strip()} is too old to fetch safely; 2.37 is the oldest that can.", hint="Update git, or clone it yourself and import the folder.")


_TUNNELS = tuple(ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))


def _is_public(text: str) -> bool:
    """Whether an address is one of the open network, and none that carries another inside."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or any(address in net for net in _TUNNELS)):
        return False
    return address.is_global and not address.is_multicast
