"""An IPFS node with Kubo's RPC as a second place for content, optional.

Trees go in and come out as CARs that this package writes and checks, so CIDs never depend on the node's settings.
Source: Kubo RPC v0 `dag/import`, `dag/export`, `pin/rm`, `version`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from lilypad_agents.content.blocks import BlockSource, Store
from lilypad_agents.content.car import car_size, write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import BlockMissing, IpfsNodeError
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import TreeSummary
from lilypad_agents.content.transfer import import_car

_MAX_ANSWER_BYTES = 1 << 20


class KuboNode:
    """Speaks to the node at `api_url` (for example `http://127.0.0.1:5001`); the caller owns `http` and its timeouts.

    All methods raise IpfsNodeError when the node does not answer, or answers with an error.
    """

    def __init__(self, api_url: str, http: httpx.Client) -> None:
        self._url = api_url.rstrip("/") + "/api/v0"
        self._http = http

    def version(self) -> str:
        """The version that the node states."""
        return _text(self._call("version"), "Version")

    def publish(self, source: BlockSource, root: Cid) -> None:
        """Give the node the complete tree of `root` and have it pinned there. Raises BlockMissing."""
        size = car_size(source, root)
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{root}.car"\r\n'
            f"Content-Type: application/vnd.ipld.car\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }
        body = _multipart(head, source, root, tail)
        lines = self._call("dag/import", {"pin-roots": "true"}, headers=headers, content=body)
        _require_pinned(lines, root)

    def retrieve(self, store: Store, root: Cid, limits: Limits = Limits()) -> TreeSummary:
        """Bring the complete tree of `root` from the node into the store; the node is trusted with nothing.

        Raises BlockMissing when the node does not have it, and what `import_car` raises. A node that looks for the
        content in its network answers late: the read timeout of `http` ends that.
        """
        with self._request("dag/export", {"arg": str(root), "progress": "false"}) as response:
            return import_car(response.iter_raw(), store, root, limits)

    def unpin(self, root: Cid) -> None:
        """Remove the node's pin. Removing what is not pinned is no error."""
        try:
            self._call("pin/rm", {"arg": str(root)})
        except IpfsNodeError as error:
            if "not pinned" not in error.message:
                raise

    def _call(self, command: str, query: dict[str, str] | None = None, **options: Any) -> list[dict[str, Any]]:
        """The JSON objects, one per line, that the node answers with."""
        body = bytearray()
        with self._request(command, query, **options) as response:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    raise IpfsNodeError("the IPFS node answers with more than a MiB", command=command)
        try:
            lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        except ValueError as error:
            raise IpfsNodeError("the IPFS node does not answer in JSON", command=command) from error
        if not all(isinstance(line, dict) for line in lines):
            raise IpfsNodeError("the IPFS node answers with something else than objects", command=command)
        return lines

    @contextmanager
    def _request(self, command: str, query: dict[str, str] | None = None, **options: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream("POST", f"{self._url}/{command}", params=query, **options) as response:
                if response.status_code != 200:
                    raise _refusal(command, response)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            cause = f"{type(error).__name__} {error}".strip()
            raise IpfsNodeError(f"the IPFS node cannot be reached: {cause}", command=command) from error


def _multipart(head: bytes, source: BlockSource, root: Cid, tail: bytes) -> Iterator[bytes]:
    yield head
    yield from write_car(source, root)
    yield tail


def _require_pinned(lines: list[dict[str, Any]], root: Cid) -> None:
    """The node names every root it pinned, or says why it did not."""
    for line in lines:
        entry = line.get("Root")
        if not isinstance(entry, dict) or entry.get("Cid") != {"/": str(root)}:
            continue
        if entry.get("PinErrorMsg"):
            raise IpfsNodeError(f"the IPFS node did not pin: {str(entry['PinErrorMsg'])[:200]}", root=str(root))
        return
    raise IpfsNodeError("the IPFS node does not confirm the root", root=str(root))


def _refusal(command: str, response: httpx.Response) -> Exception:
    body = response.read()[:_MAX_ANSWER_BYTES]
    try:
        message = str(json.loads(body)["Message"])[:200]
    except (ValueError, KeyError, TypeError):
        message = response.reason_phrase
    if "not found" in message:
        return BlockMissing("the IPFS node does not have the content", command=command, answer=message)
    return IpfsNodeError(f"the IPFS node answered {response.status_code}: {message}", command=command)


def _text(lines: list[dict[str, Any]], key: str) -> str:
    if len(lines) != 1 or not isinstance(lines[0].get(key), str):
        raise IpfsNodeError(f"the IPFS node does not state its {key.lower()}")
    return str(lines[0][key])
