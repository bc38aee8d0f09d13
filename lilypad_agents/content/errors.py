"""What can be wrong with content: each reason has its own class, its figures as fields and a way out."""

from __future__ import annotations

import errno

from lilypad_agents.errors import LilypadError

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ContentError(LilypadError):
    """Base of the errors of this package."""

    code = "content-error"


class InvalidCid(ContentError):
    """A text or byte string is not a content identifier that this project uses."""

    code = "invalid-cid"
    hint = "Use a CIDv1 in base32 (`bafy...` or `bafkr...`) with sha2-256; `ipfs cid base32 CID` converts older forms."


class InvalidBlock(ContentError):
    """A block has its hash, but is not what the profile `unixfs-v1-2025` would have written."""

    code = "invalid-block"
    hint = "Add the content again with the profile unixfs-v1-2025; every tree then has exactly one CID."


class BlockMismatch(ContentError):
    """Bytes do not have the hash by which they were named."""

    code = "block-mismatch"
    hint = "Whoever sent the bytes is faulty or lying: fetch them from another source."


class BlockMissing(ContentError):
    """The store does not hold a block."""

    code = "block-missing"
    hint = "Fetch the content again from a party that serves it."


class BlockPinned(ContentError):
    """A block cannot be deleted while a pin keeps it."""

    code = "block-pinned"
    hint = "Remove the pin first, or wait until it expires."


class InvalidPin(ContentError):
    """A pin has no usable name or expiry."""

    code = "invalid-pin"
    hint = "Name the pin with 1 to 200 characters and give the expiry as unix seconds, or none."


class StoreFull(ContentError):
    """The disk, its quota or the reserve of the operator leaves no room for more content."""

    code = "disk-full"
    hint = "Free disk space or let `lilypad doctor` show what may go; nothing half-written was left behind."


class LimitExceeded(ContentError):
    """Content is larger, deeper or more numerous than the caller allows."""

    code = "content-limit"
    hint = "Split the content, or raise the limit if you trust where it comes from."


class UnsafeName(ContentError):
    """A file name could escape its folder, deceive a reader or not exist on another system."""

    code = "unsafe-name"
    hint = "Use NFC UTF-8 names of at most 255 bytes without `/`, control characters, `.` and `..`."


class UnsafeFile(ContentError):
    """Something in a folder is not a plain file or folder that belongs to it alone."""

    code = "unsafe-file"
    hint = "Keep only regular files with a single link and no setuid bit; copy what links point to."


class InvalidCar(ContentError):
    """A byte stream is not a CAR v1 archive of exactly the expected content."""

    code = "invalid-car"
    hint = "Send CAR version 1 with one root, parents before children, all blocks of the root and no others."


class TargetExists(ContentError):
    """An export would overwrite something."""

    code = "target-exists"
    hint = "Choose a path that does not exist yet."


class UnexpectedKind(ContentError):
    """A CID names a file where a folder is needed, or the other way round."""

    code = "unexpected-kind"
    hint = "Check which CID you meant; a result is always a folder."


class PushRefused(ContentError):
    """An endpoint did not take content that was offered to it."""

    code = "push-refused"
    hint = "Read what the endpoint answered; try another relay if it stays so."
    exit_code = 41


class IpfsNodeError(ContentError):
    """The configured IPFS node did not answer, or not as Kubo does."""

    code = "ipfs-node"
    hint = "Check that the node runs and that its RPC address is right; the local store works without it."


class UnsupportedRequest(ContentError):
    """A request to the gateway asks for something that a trustless gateway of this kind does not do."""

    code = "unsupported-request"
    hint = "Ask for `/ipfs/CID?format=raw` or `/ipfs/CID?format=car`, without a path behind the CID."


class NotAcceptable(ContentError):
    """A request to the gateway accepts neither of the two verifiable formats."""

    code = "not-acceptable"
    hint = "Add `?format=raw` or `?format=car`, or accept application/vnd.ipld.raw or application/vnd.ipld.car."


class AccessDenied(ContentError):
    """Content exists only for certain parties, and the request does not come from one of them."""

    code = "access-denied"
    hint = "Sign the request with the account of a party; for a block inside a tree add `&root=CID` of the tree."
