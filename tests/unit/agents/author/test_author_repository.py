"""An old module out of a git repository, and what a hostile one cannot do. flt:S13 flt:S14 beh:K1 beh:K6"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lilypad_agents.agents.author.errors import RefMoved, RepositoryRefused, RepositoryUnavailable
from lilypad_agents.agents.author.importing import MAX_BYTES, OLD_NAME, OldModule, find_old
from lilypad_agents.agents.author.repository import FetchPolicy, Repository, fetch_file, repository_of
from lilypad_agents.cli.main import cli
from lilypad_agents.errors import ConfigurationError, LilypadError, UsageError

OLD = '{"Docker": {"Image": "sha256:%s", "Entrypoint": ["cowsay", {{.Message}}]}}' % ("ab" * 32)
ZERO = "0" * 40


class Upstream:
    """A repository with a work tree, as a module's author has it, and a bare one that others fetch from."""

    def __init__(self, folder: Path) -> None:
        self.work, self.bare = folder / "work", folder / "lilypad-module-old.git"
        self.work.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", where=self.work)
        self.commit(OLD)
        subprocess.run(["git", "clone", "-q", "--bare", str(self.work), str(self.bare)], check=True)

    def git(self, *words: str, where: Path | None = None) -> str:
        names = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.work.parent), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", "-C", str(where or self.work), *words], check=True, capture_output=True, text=True, env={**kept, **names}
        )
        return done.stdout.strip()

    def commit(self, text: str | None = None) -> str:
        if text is not None:
            (self.work / OLD_NAME).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def push(self, *words: str) -> None:
        self.git("push", "-q", "--force", str(self.bare), *words)

    def tag(self, name: str) -> str:
        self.git("tag", "-f", name)
        self.push(f"refs/tags/{name}", "main")
        return self.git("rev-parse", f"{name}^{{commit}}")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "upstream")


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tags.json"


def local(upstream: Upstream, ref: str) -> Repository:
    return Repository(str(upstream.bare), ref, is_local=True)


# ---- which address a text means, before anything is fetched


@pytest.mark.parametrize(
    ("text", "location", "ref"),
    [
        ("https://example.org/someone/x:v1", "https://example.org/someone/x", "v1"),
        ("https://example.org:8443/someone/x.git", "https://example.org:8443/someone/x.git", None),
        ("example.org/someone/x:main", "https://example.org/someone/x", "main"),
        ("cowsay:v0.0.4", "https://github.com/Lilypad-Tech/lilypad-module-cowsay", "v0.0.4"),
    ],
)
def test_name_repository__forms_of_today__are_understood(text: str, location: str, ref: str | None) -> None:
    """beh:K1"""
    assert repository_of(text) == Repository(location, ref)


HOSTILE = [
    "file:///etc/passwd", "ext::sh -c touch% /tmp/x", "ext::https://example.org/a:v1", "ssh://example.org/x:v1", "git://example.org/x/y:v1",
    "git@example.org:someone/x", "http://example.org/someone/x:v1", "ftp://example.org/x:v1", "https://user:word@example.org/x/y:v1",
    "https://example.org/x?y=z:v1", "https://example.org/../x:v1", "https://example.org/-x/y:v1", "https://-x.org/y:v1",
    "https://exa mple.org/x:v1", "https://example.org/x/y:--upload-pack=x", "https://example.org/x/y:v1..v2", "https://example.org/x/y:a//b",
    "https://example.org/x/y:refs/heads/x.lock", "https://example.org/x/y:v1^{commit}", "https://example.org:99999/x:v1", "https:///x/y:v1",
    "https://example.org/x\n/y:v1", "https://[::1]/x/y:v1", "https://example.org/x/y", "file::/etc:v1", "HTTPS://example.org/x:v1",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_import__address_that_is_not_fetched__is_refused_before_any_look(text: str, pins: Path) -> None:
    """flt:S13: allowed schemes, no credentials, nothing that git would take for an option or another transport."""

    def looked(host: str, port: int) -> list[str]:
        raise AssertionError("looked up")

    with pytest.raises(RepositoryRefused):
        find_old(text, pins=pins, policy=FetchPolicy(resolve=looked))


INSIDE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
    "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0", "nonsense",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_import__host_inside__is_refused_even_beside_a_public_address(address: str, pins: Path) -> None:
    """flt:S13: the metadata address, and names that lead inside."""
    policy = FetchPolicy(resolve=lambda host, port: ["93.184.215.14", address])
    with pytest.raises(RepositoryRefused, match="no public address"):
        find_old("https://example.org/x/y:v1", pins=pins, policy=policy)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost"])
def test_import__this_machine_by_any_spelling__is_refused(host: str, pins: Path) -> None:
    with pytest.raises(LilypadError) as caught:
        find_old(f"https://{host}/x/y:v1", pins=pins)
    assert caught.value.code in ("repository-refused", "repository-unavailable")


# ---- what is read


def test_import__tag_branch_and_commit__give_the_file_and_record_the_commit(upstream: Upstream, pins: Path) -> None:
    """beh:K1: of a bare repository, of one with a work tree, by an annotated tag; the work tree itself does not count."""
    first = upstream.tag("v1")
    upstream.git("tag", "-a", "-m", "noted", "noted/v1")
    upstream.push("noted/v1")
    second = upstream.commit(OLD.replace("cowsay", "catsay"))
    upstream.push("main")
    (upstream.work / OLD_NAME).write_text("not committed")
    for ref, commit in (("v1", first), ("noted/v1", first), ("main", second), (first, first), (second, second)):
        for folder in (upstream.bare, upstream.work):
            found = find_old(str(folder), ref, pins=pins)
            assert (found.commit, found.repository, b"catsay" in found.raw) == (commit, None, commit == second)
    assert found.name == "work" and find_old(str(upstream.bare), "v1", pins=pins).name == "old"
    assert find_old(str(upstream.work), pins=pins).raw == b"not committed", "a folder without --ref is read as it lies there"


def test_import__ref_that_is_not_there_or_is_two_things__says_what_was_tried(upstream: Upstream) -> None:
    upstream.tag("v1")
    with pytest.raises(RepositoryRefused) as caught:
        fetch_file(local(upstream, "v2"), OLD_NAME, MAX_BYTES)
    assert caught.value.figures["tried"] == ["refs/tags/v2", "refs/heads/v2"]
    upstream.git("branch", "v1")
    upstream.push("refs/heads/v1")
    assert fetch_file(local(upstream, "v1"), OLD_NAME, MAX_BYTES).is_tag, "both mean the same commit"
    upstream.git("checkout", "-q", "refs/heads/v1")
    upstream.commit()
    upstream.push("HEAD:refs/heads/v1")
    with pytest.raises(RepositoryRefused, match="differ"):
        fetch_file(local(upstream, "v1"), OLD_NAME, MAX_BYTES)
    with pytest.raises(RepositoryUnavailable):
        fetch_file(local(upstream, "ab" * 20), OLD_NAME, MAX_BYTES)
    with pytest.raises(RepositoryRefused, match="needs a tag or commit"):
        fetch_file(replace(local(upstream, "v1"), ref=None), OLD_NAME, MAX_BYTES)


def test_import__tag_that_moved__is_refused_until_its_commit_is_named(upstream: Upstream, pins: Path) -> None:
    """beh:K6 flt:S14; a branch may move, and is flagged as one that does by the report."""
    first, name = upstream.tag("v1"), str(upstream.bare)
    assert find_old(name, "v1", pins=pins).commit == first
    second = upstream.commit(OLD.replace("cowsay", "stealkeys"))
    assert upstream.tag("v1") == second
    for _ in range(2):
        with pytest.raises(RefMoved) as caught:
            find_old(name, "v1", pins=pins)
    assert (caught.value.figures["known"], caught.value.figures["found"]) == (first, second)
    with pytest.raises(RefMoved):
        find_old(name, "v1", ZERO, pins=pins)
    with pytest.raises(RefMoved):
        find_old(name, "main", first, pins=pins)
    assert find_old(name, first, pins=pins).commit == first, "the old one is still there by its digits"
    assert find_old(name, "v1", second, pins=pins).commit == find_old(name, "v1", pins=pins).commit == second
    pins.write_text("{")
    with pytest.raises(ConfigurationError, match="remembers"):
        find_old(name, "v1", pins=pins)


def test_import__commit_of_a_plain_folder_or_two_refs__is_wrong_usage(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / OLD_NAME).write_text(OLD)
    with pytest.raises(UsageError, match="--commit"):
        find_old(str(tmp_path), None, ZERO)
    with pytest.raises(UsageError, match="--ref"):
        find_old("https://example.org/x/y:v1", "v2")


# ---- a hostile repository


def test_import__what_lies_there_is_no_plain_file__is_refused(upstream: Upstream) -> None:
    """flt:S13 flt:S10: links, folders, submodules, files over the cap, and none at all."""
    path = upstream.work / OLD_NAME
    path.unlink()
    path.symlink_to("/etc/passwd")
    upstream.commit()
    upstream.tag("link")
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")
    upstream.commit()
    upstream.tag("folder")
    upstream.git("rm", "-rqf", OLD_NAME)
    upstream.commit()
    upstream.tag("none")
    upstream.git("update-index", "--add", "--cacheinfo", f"160000,{ZERO[:-1]}1,{OLD_NAME}")
    upstream.git("commit", "-qm", "x")
    upstream.tag("submodule")
    upstream.git("rm", "-q", "--cached", OLD_NAME)
    path.write_bytes(b" " * (MAX_BYTES + 1))
    upstream.commit()
    upstream.tag("large")
    path.write_bytes(b" " * MAX_BYTES)
    upstream.commit()
    upstream.tag("largest")
    for ref in ("link", "folder", "none", "submodule", "large"):
        with pytest.raises(RepositoryRefused):
            fetch_file(local(upstream, ref), OLD_NAME, MAX_BYTES)
    assert len(fetch_file(local(upstream, "largest"), OLD_NAME, MAX_BYTES).data) == MAX_BYTES


def test_import__repository_with_programs_of_its_own__runs_none_of_them(upstream: Upstream, tmp_path: Path) -> None:
    """flt:S13: hooks, filters, attributes, submodules and settings of the repository, each of which would leave a mark."""
    mark = tmp_path / "mark"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    (upstream.work / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (upstream.work / ".gitmodules").write_text(f'[submodule "x"]\n path = x\n url = ext::{program}\n update = !{program}\n')
    upstream.git("update-index", "--add", "--cacheinfo", f"160000,{ZERO[:-1]}1,x")
    upstream.commit()
    upstream.tag("v1")
    for hook in ("post-checkout", "pre-upload-pack", "post-update", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (upstream.bare / "hooks").mkdir(exist_ok=True)
        (upstream.bare / "hooks" / hook).write_bytes(program.read_bytes())
        (upstream.bare / "hooks" / hook).chmod(0o755)
    for key in ("uploadpack.packObjectsHook", "core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "core.gitProxy",
                "core.pager", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "credential.helper", "gpg.program"):  # fmt: skip
        upstream.git("config", key, str(program), where=upstream.bare)
    upstream.git("config", "core.hooksPath", str(upstream.bare / "hooks"), where=upstream.bare)
    assert fetch_file(local(upstream, "v1"), OLD_NAME, MAX_BYTES).data == OLD.encode()
    assert not mark.exists()


def test_import__settings_of_the_user__are_not_used(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an address rewritten by a setting, nor a variable of git's, leads anywhere else."""
    upstream.tag("v1")
    settings = tmp_path / "settings"
    settings.write_text(f'[url "ext::sh -c true "]\n insteadOf = {upstream.bare}\n[protocol]\n allow = always\n')
    for name, value in {"GIT_CONFIG_GLOBAL": settings, "GIT_DIR": tmp_path, "GIT_CONFIG_COUNT": "x", "GIT_SSH_COMMAND": "false"}.items():
        monkeypatch.setenv(name, str(value))
    assert fetch_file(local(upstream, "v1"), OLD_NAME, MAX_BYTES).data == OLD.encode()


def test_import__large_files_elsewhere__are_left_out_or_end_the_fetch(upstream: Upstream) -> None:
    """flt:S13: the cap on bytes holds also against a server that knows no filter; nothing is left in the temporary folder."""
    (upstream.work / "weights").write_bytes(os.urandom(3 * 2**20))
    upstream.commit()
    upstream.tag("v1")
    small = FetchPolicy(file_bytes=2**20)
    with pytest.raises(RepositoryUnavailable):
        fetch_file(local(upstream, "v1"), OLD_NAME, MAX_BYTES, small)
    upstream.git("config", "uploadpack.allowFilter", "true", where=upstream.bare)
    assert fetch_file(local(upstream, "v1"), OLD_NAME, MAX_BYTES, small).data == OLD.encode()


# ---- a hostile server


@dataclass
class Web:
    """A web server on this machine. `answer` handles a request; `seen` are the paths asked for, with their hosts."""

    answer: Callable[[BaseHTTPRequestHandler], None]
    seen: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "/someone/x", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def served(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Web]:
    web = Web(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.seen.append((self.headers["Host"], self.path))
            try:
                web.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                pass

        do_POST = do_GET

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def say(handler: BaseHTTPRequestHandler, code: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(code)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def backend(root: Path) -> Callable[[BaseHTTPRequestHandler], None]:
    """Git's own server of repositories below `root`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": handler.command,
            "PATH_INFO": path, "QUERY_STRING": query, "CONTENT_TYPE": handler.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)), "GIT_PROTOCOL": handler.headers.get("Git-Protocol") or "",
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding") or "",
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        say(handler, int(headers.pop("Status", "200")[:3]), rest, **headers)

    return answer


OPEN = FetchPolicy(schemes=frozenset({"http"}), private=True, seconds=20)


def fetched(url: str, ref: str, policy: FetchPolicy = OPEN) -> OldModule:
    return find_old(url, ref, pins=Path(os.devnull + "x"), policy=policy)


def test_fetch__from_a_server__asks_only_the_address_that_was_looked_up(upstream: Upstream, pins: Path) -> None:
    """flt:S13, rebinding: git is told the address, so a second answer of the name service counts for nothing."""
    commit = upstream.tag("v1")
    looked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        looked.append(host)
        assert len(looked) == 1, "looked up twice"
        return ["127.0.0.1"]

    with served(backend(upstream.bare.parent)) as web:
        url = web.url(f"/{upstream.bare.name}", "repository.invalid")
        found = find_old(url, "v1", pins=pins, policy=replace(OPEN, resolve=resolve))
    assert (found.raw, found.commit, found.repository, found.name) == (OLD.encode(), commit, url, "old")
    assert {host for host, _ in web.seen} == {f"repository.invalid:{web.port}"}
    assert json.loads(pins.read_text()) == {url: {"refs/tags/v1": commit}}


def test_fetch__server_that_sends_elsewhere__is_not_followed(upstream: Upstream) -> None:
    """flt:S13: a redirect, and the alternates of a plain file server."""
    upstream.tag("v1")
    tree = upstream.git("rev-parse", "v1^{tree}", where=upstream.bare)
    upstream.git("update-server-info", where=upstream.bare)
    (upstream.bare / "objects" / tree[:2] / tree[2:]).unlink()
    with served(lambda handler: say(handler, 200)) as inside:

        def redirect(handler: BaseHTTPRequestHandler) -> None:
            say(handler, 302, Location=inside.url(handler.path))

        def plain(handler: BaseHTTPRequestHandler) -> None:
            name = handler.path.partition("?")[0].removeprefix("/someone/x/")
            if name.endswith("alternates"):
                return say(handler, 200, f"{inside.url('/objects')}\n".encode())
            path = upstream.bare / name
            say(handler, 200, path.read_bytes()) if path.is_file() else say(handler, 404)

        for answer in (redirect, plain):
            with served(answer) as web, pytest.raises(RepositoryUnavailable):
                fetched(web.url(), "v1")
            assert web.seen and inside.seen == []


def test_fetch__server_without_end__is_ended_at_a_limit() -> None:
    """flt:S13: endless references, silence, and a question for a password; git is gone afterwards."""

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        handler.end_headers()
        line = b"003d" + b"1" * 40 + b" refs/tags/" + b"v" * 5 + b"\n"
        handler.wfile.write(b"001e# service=git-upload-pack\n0000")
        while True:
            handler.wfile.write(line * 1_000)

    silent = threading.Event()

    def closed(handler: BaseHTTPRequestHandler) -> None:
        say(handler, 401, WWW_Authenticate='Basic realm="x"')

    try:
        for answer in (endless, lambda handler: silent.wait(30), closed):
            with served(answer) as web, pytest.raises(RepositoryUnavailable):
                fetched(web.url(), "v1", replace(OPEN, seconds=1.5, memory_bytes=2**29))
    finally:
        silent.set()


# ---- the command


def test_command__repository_at_a_tag__writes_a_manifest_that_names_the_commit(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """beh:K1 beh:K3"""
    commit = upstream.tag("v1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    words = ["module", "import", str(upstream.bare), "--ref", "v1", "--dir", str(tmp_path / "mine"), "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)["data"]
    assert data["commit"] == commit and "mutable-ref" in {item["code"] for item in data["report"]}
    manifest = json.loads((tmp_path / "mine" / "lilypad_module.json").read_text())
    assert (manifest["name"], manifest["importedFrom"]["commit"]) == ("old", commit)
    upstream.commit(OLD.replace("cowsay", "other"))
    upstream.tag("v1")
    again = CliRunner().invoke(cli, words)
    assert json.loads(again.stdout)["error"]["code"] == "ref-moved"
    assert json.loads((tmp_path / "mine" / "lilypad_module.json").read_text()) == manifest
