"""The trustless gateway: only verifiable answers, only to those who may have them, and errors that say what to do."""

from __future__ import annotations

import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from lilypad_agents.content.car import read_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import StoreFull, UnsafeFile
from lilypad_agents.content.gateway import CAR_TYPE, create_gateway, error_response, http_status
from lilypad_agents.content.importer import add_bytes, put_tree
from lilypad_agents.content.limits import CHUNK_BYTES, Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.content.transfer import import_car
from lilypad_agents.errors import LilypadError

TREE = {"stdout": b"moo\n", "outputs": {"a": b"1", "big": bytes(CHUNK_BYTES) + b"x"}}
RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"


class BadSignature(LilypadError):
    code = "bad-signature"
    hint = "Sign again."


def _identify(request: Request) -> str | None:
    who = request.headers.get("x-who")
    if who == "forged":
        raise BadSignature("the signature does not fit")
    return who


@pytest.fixture
def public(store: LocalStore, speak_to):
    return speak_to(create_gateway(store, lambda cid, requester: True))


@pytest.fixture
def root(store: LocalStore) -> Cid:
    return put_tree(store, TREE)


@pytest.fixture
def private(store: LocalStore, root: Cid, speak_to):
    """Only `creator` may read the tree; nobody anything else."""
    may = {(root, "creator")}
    gateway = create_gateway(store, lambda cid, requester: (cid, requester) in may, identify=_identify)
    return speak_to(gateway)


def _error(response: httpx.Response) -> dict:
    body = response.json()
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "hint", "figures"}
    assert body["error"]["message"] and body["error"]["hint"]
    assert response.headers["Cache-Control"] == "no-store"
    return body["error"]


# -- raw blocks


@pytest.mark.parametrize("ask", [{"params": {"format": "raw"}}, {"headers": {"Accept": RAW}}], ids=["query", "header"])
def test_get_raw__block__comes_with_the_headers_of_the_specification(public, store, ask: dict) -> None:
    cid = add_bytes(store, b"moo")
    response = public.get(f"/ipfs/{cid}", **ask)

    assert (response.status_code, response.content) == (200, b"moo")
    headers = response.headers
    assert headers["Content-Type"] == RAW
    assert headers["Content-Length"] == "3"
    assert headers["ETag"] == f'"{cid}.raw"'
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"] == f'attachment; filename="{cid}.bin"'
    assert "immutable" in headers["Cache-Control"] and "public" in headers["Cache-Control"]


def test_get_raw__folder_root__is_its_block(public, store, root: Cid) -> None:
    assert public.get(f"/ipfs/{root}?format=raw").content == store.get(root)


@pytest.mark.parametrize(
    ("wanted", "status", "content", "span"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=9-99", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-4", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=" + "9" * 30 + "-", 200, b"0123456789", None),
    ],
)
def test_get_raw__range__is_answered_as_http_wants(public, store, wanted, status, content, span) -> None:
    """beh:I15: transfers resume."""
    cid = add_bytes(store, b"0123456789")
    response = public.get(f"/ipfs/{cid}?format=raw", headers={"Range": wanted})
    assert (response.status_code, response.content) == (status, content)
    assert response.headers.get("Content-Range") == span


def test_get_raw__range_of_something_else__sends_everything(public, store) -> None:
    cid = add_bytes(store, b"0123456789")
    for etag, status in ((f'"{cid}.raw"', 206), ('"other"', 200)):
        headers = {"Range": "bytes=1-2", "If-Range": etag}
        assert public.get(f"/ipfs/{cid}?format=raw", headers=headers).status_code == status


def test_get__known_to_the_client__is_304_without_body(public, root: Cid) -> None:
    for form in ("raw", "car"):
        etag = public.get(f"/ipfs/{root}?format={form}").headers["ETag"]
        for known in (etag, f'"x", W/{etag}', "*"):
            response = public.get(f"/ipfs/{root}?format={form}", headers={"If-None-Match": known})
            assert (response.status_code, response.content) == (304, b"")
        assert public.get(f"/ipfs/{root}?format={form}", headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("form", ["raw", "car"])
def test_head__either_format__has_the_headers_of_get_and_no_body(public, root: Cid, form: str) -> None:
    head, get = public.head(f"/ipfs/{root}?format={form}"), public.get(f"/ipfs/{root}?format={form}")
    assert head.content == b""
    assert dict(head.headers) == dict(get.headers)
    assert int(head.headers["Content-Length"]) == len(get.content)


# -- CARs


def test_get_car__tree__is_complete(public, other_store: LocalStore, root: Cid) -> None:
    response = public.get(f"/ipfs/{root}", headers={"Accept": f"{CAR};version=1;order=dfs;dups=n"})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == CAR_TYPE
    assert int(response.headers["Content-Length"]) == len(response.content)
    import_car([response.content], other_store, root, Limits())
    assert read_tree(other_store, root, Limits()) == TREE


@pytest.mark.parametrize(
    ("scope", "of", "blocks"),
    [
        ("all", "folder", 7),
        ("entity", "folder", 1),
        ("block", "folder", 1),
        ("all", "file", 3),
        ("entity", "file", 3),
        ("block", "file", 1),
    ],
)
def test_get_car__scope__sends_so_many_blocks(public, store, root: Cid, scope: str, of: str, blocks: int) -> None:
    cid = root if of == "folder" else add_bytes(store, TREE["outputs"]["big"])
    response = public.get(f"/ipfs/{cid}", params={"format": "car", "dag-scope": scope})
    found = list(read_car([response.content]))
    assert found[0][0] == cid
    assert len(found) == blocks


def test_get_car__block_missing_below__is_404_before_the_first_byte(public, store, root: Cid) -> None:
    store.delete(Cid.of(b"1"))
    response = public.get(f"/ipfs/{root}?format=car")
    assert response.status_code == 404
    assert _error(response)["figures"] == {"cid": str(Cid.of(b"1"))}


def test_get_car__tree_over_the_limit__is_413_but_its_blocks_can_be_had(store: LocalStore, root: Cid, speak_to) -> None:
    client = speak_to(create_gateway(store, lambda *_: True, limits=Limits(max_bytes=1000, max_entries=9)))
    response = client.get(f"/ipfs/{root}?format=car")
    assert response.status_code == 413
    assert _error(response)["code"] == "content-limit"
    assert client.get(f"/ipfs/{root}?format=raw").status_code == 200


def test_get_car__served_by_a_real_server__streams_the_same_bytes(serve, store, public, root: Cid) -> None:
    url = serve(create_gateway(store, lambda *_: True))
    with httpx.stream("GET", f"{url}/ipfs/{root}?format=car") as response:
        streamed = b"".join(response.iter_raw())
    assert streamed == public.get(f"/ipfs/{root}?format=car").content


# -- what it does not do


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/ipfs/{cid}", {}, 406, "not-acceptable"),
        ("/ipfs/{cid}", {"Accept": "text/html, */*"}, 406, "not-acceptable"),
        ("/ipfs/{cid}", {"Accept": f"{CAR}; version=2"}, 406, "not-acceptable"),
        ("/ipfs/{cid}", {"Accept": f"{RAW};q=0"}, 406, "not-acceptable"),
        ("/ipfs/{cid}", {"Accept": f"{RAW};q=x, ;;,="}, 406, "not-acceptable"),
        ("/ipfs/{cid}?format=tar", {}, 400, "unsupported-request"),
        ("/ipfs/{cid}?format=", {"Accept": RAW}, 400, "unsupported-request"),
        ("/ipfs/{cid}?format=car&car-version=2", {}, 400, "unsupported-request"),
        ("/ipfs/{cid}?format=car&dag-scope=some", {}, 400, "unsupported-request"),
        ("/ipfs/{cid}?format=car&entity-bytes=0:5", {}, 400, "unsupported-request"),
        ("/ipfs/{cid}/stdout?format=raw", {}, 400, "unsupported-request"),
        ("/ipfs/{cid}/../../etc/passwd?format=raw", {}, 404, "unsupported-request"),
        ("/ipfs/{cid}?format=raw&root=x", {}, 400, "invalid-cid"),
        ("/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn?format=raw", {}, 400, "invalid-cid"),
        ("/ipfs/..%2f..%2fetc%2fpasswd?format=raw", {}, 400, "unsupported-request"),
        ("/ipfs/%00?format=raw", {}, 400, "invalid-cid"),
        ("/ipfs/?format=raw", {}, 404, "unsupported-request"),
        ("/ipns/{cid}?format=raw", {}, 404, "unsupported-request"),
        ("/", {}, 404, "unsupported-request"),
    ],
)
def test_get__what_is_not_served__is_refused_with_a_reason(public, root: Cid, path, headers, status, code) -> None:
    response = public.get(path.format(cid=root), headers={"Accept": ""} | headers)
    assert response.status_code == status
    assert _error(response)["code"] == code


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods__any_address__are_405_with_what_is_allowed(public, root: Cid, method: str) -> None:
    response = public.request(method, f"/ipfs/{root}?format=raw")
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    _error(response)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (f"{RAW}, {CAR}", RAW),
        (f"{RAW};q=0.5, {CAR}", CAR_TYPE),
        (f"text/html, {CAR};q=0.1, */*", CAR_TYPE),
        (f"{CAR.upper()}", CAR_TYPE),
    ],
)
def test_get__several_formats_accepted__the_preferred_is_sent(public, root: Cid, accept: str, media: str) -> None:
    assert public.get(f"/ipfs/{root}", headers={"Accept": accept}).headers["Content-Type"] == media


def test_get__query_and_header_differ__the_query_wins(public, root: Cid) -> None:
    response = public.get(f"/ipfs/{root}?format=raw", headers={"Accept": CAR})
    assert response.headers["Content-Type"] == RAW


def test_get__unknown_block__is_404(public) -> None:
    response = public.get(f"/ipfs/{Cid.of(b'none')}?format=raw")
    assert response.status_code == 404
    assert _error(response)["code"] == "block-missing"


def test_get__damaged_block__is_404_and_never_wrong_bytes(public, store: LocalStore) -> None:
    cid = add_bytes(store, b"moo")
    (store._root / "blocks" / str(cid)[-3:-1] / str(cid)).write_bytes(b"mop")
    assert public.get(f"/ipfs/{cid}?format=raw").status_code == 404


# -- private content


@pytest.mark.parametrize("form", ["raw", "car"])
def test_private__party_and_others__are_served_and_refused(private, root: Cid, form: str) -> None:
    url = f"/ipfs/{root}?format={form}"
    served = private.get(url, headers={"x-who": "creator"})
    assert served.status_code == 200
    assert served.headers["Cache-Control"] == "private, no-store"

    stranger, nobody = private.get(url, headers={"x-who": "stranger"}), private.get(url)
    assert (stranger.status_code, nobody.status_code) == (403, 401)
    assert "WWW-Authenticate" in nobody.headers and "WWW-Authenticate" not in stranger.headers
    assert {_error(stranger)["code"], _error(nobody)["code"]} == {"access-denied"}


def test_private__refusal__does_not_tell_what_is_stored(private, root: Cid) -> None:
    stored, unknown = (
        private.get(f"/ipfs/{cid}?format=raw", headers={"x-who": "stranger"}) for cid in (root, Cid.of(b"none"))
    )
    assert stored.status_code == unknown.status_code == 403
    assert json.loads(stored.text.replace(str(root), "")) == json.loads(unknown.text.replace(str(Cid.of(b"none")), ""))


def test_private__forged_signature__is_401_with_its_reason(private, root: Cid) -> None:
    response = private.get(f"/ipfs/{root}?format=raw", headers={"x-who": "forged"})
    assert response.status_code == 401
    assert _error(response)["code"] == "bad-signature"


def test_private__block_inside_a_tree__needs_the_right_to_the_tree(private, store, root: Cid) -> None:
    leaf, foreign = Cid.of(b"1"), add_bytes(store, b"another party's")
    creator, stranger = {"x-who": "creator"}, {"x-who": "stranger"}

    assert private.get(f"/ipfs/{leaf}?format=raw&root={root}", headers=creator).content == b"1"
    assert private.get(f"/ipfs/{leaf}?format=raw&root={root}", headers=stranger).status_code == 403
    assert private.get(f"/ipfs/{leaf}?format=raw", headers=creator).status_code == 403
    assert private.get(f"/ipfs/{foreign}?format=raw&root={root}", headers=creator).status_code == 404
    assert private.get(f"/ipfs/{root}?format=raw&root={leaf}", headers=creator).status_code == 403


def test_identify__asynchronous__is_awaited(store: LocalStore, root: Cid, speak_to) -> None:
    async def identify(request: Request) -> str:
        return request.headers["x-who"]

    client = speak_to(create_gateway(store, lambda cid, who: who == "creator", identify=identify))
    assert client.get(f"/ipfs/{root}?format=raw", headers={"x-who": "creator"}).status_code == 200
    assert client.get(f"/ipfs/{root}?format=raw", headers={"x-who": "x"}).status_code == 403


# -- for other servers


def test_error_response__errors__have_fitting_statuses() -> None:
    assert http_status(StoreFull("full")) == 507
    assert http_status(UnsafeFile("odd")) == 500
    assert error_response(StoreFull("full")).status_code == 507
    assert error_response(StoreFull("full"), 503).status_code == 503


def test_gateway__mounted_below_another_app__answers_under_its_path(store: LocalStore, root: Cid, speak_to) -> None:
    outer = Starlette()
    outer.mount("/content", create_gateway(store, lambda *_: True))
    assert speak_to(outer).get(f"/content/ipfs/{root}?format=raw").status_code == 200
