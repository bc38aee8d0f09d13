"""Errors of the chain layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lilypad_agents.errors import ConfigurationError, InsufficientFunds, LilypadError

if TYPE_CHECKING:
    from lilypad_agents.chain.abi import DecodedError

__all__ = [
    "AbiError",
    "AlreadyRunning",
    "ChainReset",
    "ContractReverted",
    "DatabaseCorrupt",
    "DatabaseTooNew",
    "DatabaseUnusable",
    "DeadlinePassed",
    "DeploymentMismatch",
    "DevelopmentChainFailed",
    "DiskFull",
    "FeeCapReached",
    "InsufficientFunds",
    "KeyUnusable",
    "NoContractCode",
    "RpcError",
    "TransactionRefused",
    "TransactionTimeout",
    "WrongChain",
]


class RpcError(LilypadError):
    """A node answered, with an error that is not a revert; figures: rpc_code, endpoint."""

    code = "rpc-error"
    hint = "The node refused the request; see its message. Another endpoint may accept it."
    exit_code = 40

    def __init__(self, message: str, *, rpc_code: int = 0, data: Any = None, **figures: Any) -> None:
        super().__init__(message, rpc_code=rpc_code, **figures)
        self.rpc_code = rpc_code
        self.data = data


class ContractReverted(LilypadError):
    """A contract refused a call; `data` is the raw revert data, `decoded` its name and arguments where an ABI is known."""

    code = "contract-reverted"
    hint = "The contract's state does not allow this now; the name and the arguments say why."
    exit_code = 10

    def __init__(self, data: bytes, *, decoded: DecodedError | None = None, message: str = "", **figures: Any) -> None:
        text = str(decoded) if decoded is not None else message or f"reverted with 0x{data.hex()}"
        super().__init__(f"The contract reverted: {text}", data="0x" + data.hex(), **figures)
        self.data = data
        self.decoded = decoded


class WrongChain(ConfigurationError):
    """An endpoint serves another chain; figures: expected, found, endpoint. Nothing is signed."""

    code = "wrong-chain"
    hint = "Point the endpoint setting at the right chain, or choose the network that the endpoint serves."


class ChainReset(ConfigurationError):
    """The local chain is another one than the database knows (other genesis); figures: expected, found."""

    code = "chain-reset"
    hint = (
        "Start clean: stop the agent, move its data folder aside and start it again "
        "(on the devnet: `lilypad devnet reset`)."
    )


class DeploymentMismatch(ConfigurationError):
    """The chain does not hold what the address book says; figures name what was found and expected."""

    code = "deployment-mismatch"
    hint = "Use the address book of this chain, or deploy again with `ape run deploy`."


class NoContractCode(ConfigurationError):
    """A call went to an address that holds no code."""

    code = "no-contract-code"
    hint = "The address book names an address without a contract on this chain; run `lilypad doctor`."


class AbiError(LilypadError):
    """Values do not fit the ABI, or bytes from the chain do not decode by it."""

    code = "abi"
    hint = "The interface files and the contracts on this chain do not belong together; run `lilypad doctor`."


class TransactionRefused(LilypadError):
    """The node will never accept the signed transaction (for example a gas limit above the block's)."""

    code = "transaction-refused"
    hint = "See the node's message; the action was given up and its nonce reused."
    exit_code = 10


class DeadlinePassed(LilypadError):
    """The time of an action was over before it was mined; figures: deadline, time (both unix seconds of block time)."""

    code = "deadline-passed"
    hint = "Nothing stale is sent; the next step is decided from the state of the chain."
    exit_code = 22


class FeeCapReached(LilypadError):
    """Gas costs more than the cap allows; figures: base_fee, cap (wei per gas). The transaction waits."""

    code = "fee-cap"
    hint = "It goes out by itself when gas is cheaper; raise the fee cap in the settings to pay more."
    exit_code = 40


class TransactionTimeout(LilypadError):
    """A wait ended before the transaction was mined; it goes on by itself."""

    code = "transaction-pending"
    hint = "The transaction is stored and is sent again until it is mined; look again later."
    exit_code = 40


class KeyUnusable(ConfigurationError):
    """A key file, its password or the files' permissions do not allow signing. Never carries the secret."""

    code = "key-unusable"
    hint = "Check the path of the key file, its password file, and that only you can read them (`chmod 600`)."


class AlreadyRunning(ConfigurationError):
    """Another process holds the key or the data folder; figures: holder (process id), path."""

    code = "already-running"
    hint = "Stop the other process first, or give this one its own key and data folder."


class DatabaseUnusable(ConfigurationError):
    """The database file cannot be opened or written."""

    code = "database-unusable"
    hint = "Check the path, its permissions and the disk."


class DatabaseCorrupt(DatabaseUnusable):
    """The database file is damaged."""

    code = "database-corrupt"
    hint = "Move the file (and its -wal and -shm) aside and start again: the agent rebuilds it from the chain."


class DatabaseTooNew(DatabaseUnusable):
    """The database was written by a newer version; figures: component, found, known."""

    code = "database-too-new"
    hint = "Use the newer version again, or move the file aside: the agent rebuilds it from the chain."


class DiskFull(DatabaseUnusable):
    """The disk, or a limit on file sizes, leaves no room to write; what was stored before is intact."""

    code = "disk-full"
    hint = "Free some space; the agent takes no new work until writing succeeds again."


class DevelopmentChainFailed(ConfigurationError):
    """The local development chain is missing or did not start."""

    code = "development-chain"
    hint = "Run `make setup`, and see the log of the chain."
