"""Compiled modules on disk. A cache file is machine code that will be executed, so only files of our own are loaded.

A file is trusted when its folder and itself belong to this user, nobody else can write them, and it ends with a MAC
under a key that lies in the folder. Anything else is ignored and compiled again. Writes are atomic, so parallel
loads and kills at any point leave whole files only; there are no locks that could go stale.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

_KEY_NAME = "key"
_KEY_BYTES = 32
_MAC_BYTES = 32
MAX_CACHED_BYTES = 512 * 1024 * 1024


class CompileCache:
    """Compiled code by key. Never raises for what lies on disk: a bad file is a miss, a full disk no store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key: bytes | None = None

    def load(self, key: str) -> bytes | None:
        """The compiled code stored under `key`, or None when there is none that can be trusted."""
        try:
            raw = _read_own(self._folder / f"{key}.cwasm", MAX_CACHED_BYTES)
            secret = self._secret()
        except OSError:
            return None
        if raw is None or len(raw) < _MAC_BYTES:
            return None
        code, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        return code if hmac.compare_digest(mac, _mac(secret, key, code)) else None

    def store(self, key: str, code: bytes) -> bool:
        """Stores compiled code; false when the disk refuses."""
        try:
            write_atomically(self._folder / f"{key}.cwasm", code + _mac(self._secret(), key, code))
        except OSError:
            return False
        return True

    def _secret(self) -> bytes:
        if self._key is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_private(os.lstat(self._folder), stat.S_ISDIR):
                raise PermissionError("the cache folder can be written by others")
            self._key = self._read_or_create_key()
        return self._key

    def _read_or_create_key(self) -> bytes:
        path = self._folder / _KEY_NAME
        for _ in range(2):
            found = _read_own(path, _KEY_BYTES)
            if found is not None and len(found) == _KEY_BYTES:
                return found
            if found is not None:
                path.unlink(missing_ok=True)
            temporary = _write_temporary(path, secrets.token_bytes(_KEY_BYTES))
            try:
                os.link(temporary, path)  # fails if another process was faster: then its key counts
            except FileExistsError:
                pass
            finally:
                os.unlink(temporary)
        found = _read_own(path, _KEY_BYTES)
        if found is None or len(found) != _KEY_BYTES:
            raise PermissionError("the cache key is not ours")
        return found


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` under `path`, mode 0600, so that a reader sees all of it or nothing. Raises OSError."""
    temporary = _write_temporary(path, data)
    try:
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _write_temporary(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    return temporary


def _read_own(path: Path, limit: int) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not _is_private(status, stat.S_ISREG) or status.st_size > limit:
            raise PermissionError(f"{path.name} is not a private file of this user")
        return file.read(limit)


def _is_private(status: os.stat_result, kind) -> bool:
    return kind(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _mac(secret: bytes, key: str, code: bytes) -> bytes:
    return hmac.new(secret, key.encode("ascii") + b"\0" + hashlib.sha256(code).digest(), "sha256").digest()
