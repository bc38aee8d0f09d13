"""A chain with a core, a verified pool and funded parties, for gas figures from real receipts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.keys import LocalSigner, signer_from_test_mnemonic
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId
from lilypad_agents.protocol.consent import Domain, Result, Waiver, by_own_key
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.digest import commitment, is_drawn, result_digest
from lilypad_agents.protocol.ids import checksummed as checksum
from lilypad_agents.protocol.ids import keccak256
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import Pair, ResultOpening, Settling
from lilypad_agents.protocol.terms import Metering, ModuleTerms, PoolTerms

ROOT = Path(__file__).resolve().parent.parent
CHAIN_ID = ChainId(1337)
PERIOD_BLOCKS, LOOKAHEAD = 6, 2
TOKEN = 10**18
ZERO = "0x" + "00" * 20
DEADLINE_S = 10
STANDARD = (800, 162_000)  # audit rate, collateral: the `standard` preset of protocol 6.6


@dataclass(frozen=True)
class Spent:
    """What one transaction cost."""

    gas: int
    calldata_bytes: int
    block: int


class World:
    """Deploys everything on `anvil`; parties are unlocked accounts of the test mnemonic."""

    def __init__(self, anvil: Anvil) -> None:
        self.rpc = Rpc(RpcConfig(urls=(anvil.url,), chain_id=CHAIN_ID))
        self.signers = [signer_from_test_mnemonic(index, CHAIN_ID) for index in range(20)]
        self.deployer, self.solver, self.publisher = (signer.address for signer in self.signers[:3])
        self.creator, self.provider = self.signers[3], self.signers[4]
        self._deploy()
        self.domain = Domain(CHAIN_ID, self.core)
        self.module = ModuleTerms(
            publisher=self.publisher, name_hash=keccak256(b"bench:1"), manifest=keccak256(b"manifest"), parent=bytes(32),
            royalty_bps=500, royalty_to=self.publisher, deterministic=True, strategy=ZERO, min_audit_bps=0,
            min_seat_fee=0, metering=Metering.NONE,
        )  # fmt: skip
        self.pool = PoolTerms(
            strategy=checksum("0x" + "51" * 20), token=self.token, seat_fee_floor=5 * TOKEN // 4, seat_stake=1_000 * TOKEN,
            max_value=10 * TOKEN, members=bytes(32), commit_window=12, reveal_window=8, appeal_window=12, note=bytes(32),
        )  # fmt: skip
        self._fund()

    # ---- setting up

    def _deploy(self) -> None:
        self.abi = {name: Abi.load(name) for name in ("Lilypad", "LilypadResolver", "LilypadToken", "BlockHashRandomness")}
        self.token = self._create("LilypadToken", *self._token_arguments())
        randomness = self._create("BlockHashRandomness", PERIOD_BLOCKS, 1_000, 1_000)
        self.core = self._create("Lilypad", (randomness, 100, 5, 604_800, 5, 120, 60, 600))

    def _token_arguments(self) -> tuple[Any, ...]:
        inputs = [e for e in self._artefact("LilypadToken")["abi"] if e["type"] == "constructor"][0]["inputs"]
        return (self.deployer,) * len(inputs)

    @staticmethod
    def _artefact(name: str) -> dict[str, Any]:
        return json.loads((ROOT / "lilypad_agents/chain/abi" / f"{name}.json").read_text())

    def _create(self, name: str, *arguments: Any) -> str:
        code = bytes.fromhex(self._artefact(name)["bytecode"].removeprefix("0x"))
        data = code + self.abi[name].encode_constructor(*arguments)
        receipt = self._transact({"from": self.deployer, "data": "0x" + data.hex()})
        return checksum(receipt["contractAddress"])

    def _fund(self) -> None:
        for signer in self.signers[3:]:
            self.call("LilypadToken", self.deployer, "transfer", signer.address, 100_000 * TOKEN)
        for signer in [self.signers[0], *self.signers[3:]]:
            self.call("LilypadToken", signer.address, "approve", self.core, 50_000 * TOKEN)
            self.call("Lilypad", signer.address, "deposit", self.token, 50_000 * TOKEN, signer.address)
        self.call("Lilypad", self.deployer, "donate", self.pool.strategy, self.token, self.pool.id, 10_000 * TOKEN)

    # ---- transactions

    def call(self, contract: str, sender: str, function: str, *arguments: Any) -> Spent:
        target = self.token if contract == "LilypadToken" else self.core
        data = self.abi[contract].function(function).encode(*arguments)
        receipt = self._transact({"from": sender, "to": target, "data": "0x" + data.hex()})
        return Spent(int(receipt["gasUsed"], 16), len(data), int(receipt["blockNumber"], 16))

    def read(self, function: str, *arguments: Any) -> Any:
        entry = self.abi["Lilypad"].function(function)
        answer = self.rpc.request("eth_call", {"to": self.core, "data": "0x" + entry.encode(*arguments).hex()}, "latest")
        return entry.decode(bytes.fromhex(answer[2:]))

    def _transact(self, transaction: dict[str, Any]) -> dict[str, Any]:
        transaction["gas"] = hex(16_000_000)
        hash_ = self.rpc.request("eth_sendTransaction", transaction)
        receipt = None
        while receipt is None:  # may be missing for a moment after the answer to the send
            receipt = self.rpc.request("eth_getTransactionReceipt", hash_)
        if int(receipt["status"], 16) != 1:
            raise RuntimeError(f"a transaction of the benchmark reverted: {hash_}")
        return receipt

    def mine(self, blocks: int, seconds: int = 1) -> None:
        self.rpc.request("anvil_mine", hex(blocks), hex(seconds))

    def now(self) -> int:
        return int(self.rpc.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def height(self) -> int:
        return int(self.rpc.request("eth_blockNumber"), 16)

    # ---- offers and results

    def resource(self, provider: LocalSigner, nonce: int = 1) -> ResourceOffer:
        return ResourceOffer(
            provider=provider.address, token=self.token, price=TOKEN, unit_price=10**12, max_units=1_000_000,
            cpu_milli=4_000, ram_mib=8_192, disk_mib=10_000, gpu_count=0, vram_mib=0, flags=0, modules=bytes(32),
            max_collateral_bps=1_000_000, min_submit_window=5, max_judge_window=60, pool=self.pool.id, solver=ZERO,
            volume=2**32 - 1, expiry=self.now() + 10**6, nonce=nonce,
        )  # fmt: skip

    def job(self, creator: LocalSigner, nonce: int) -> JobOffer:
        audit_bps, collateral_bps = STANDARD
        return JobOffer(
            creator=creator.address, module=self.module.id, inputs=keccak256(b"inputs%d" % nonce), token=self.token,
            max_price=10 * TOKEN, max_units=100_000, cpu_milli=100, ram_mib=64, disk_mib=16, gpu_count=0, vram_mib=0,
            flags=0, submit_window=600, judge_window=DEADLINE_S, collateral_bps=collateral_bps, audit_bps=audit_bps,
            pool=self.pool.id, solver=self.solver, solver_fee_bps=200, provider=ZERO, expiry=self.now() + 10**6,
            nonce=nonce,
        )  # fmt: skip

    def sign(self, signer: LocalSigner, struct_hash: bytes) -> bytes:
        return by_own_key(signer.sign_digest(self.domain.digest(struct_hash)))

    def pair(self, creator: LocalSigner, provider: LocalSigner, nonce: int) -> Pair:
        job, resource = self.job(creator, nonce), self.resource(provider)
        resource = replace(resource, expiry=2**39)
        return Pair(
            job, self.sign(creator, job.struct_hash), resource, self.sign(provider, resource.struct_hash), self.module,
            self.pool,
        )  # fmt: skip

    def deal(self, pair: Pair) -> Deal:
        return deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)

    def opening(self, deal: Deal) -> ResultOpening:
        """Head (50,000 units), content and salt that a provider would have."""
        head = (50_000).to_bytes(32, "big")
        return ResultOpening(head, keccak256(b"content" + deal.inputs), keccak256(b"salt" + deal.inputs))

    def commitment(self, deal: Deal) -> int:
        opening = self.opening(deal)
        return commitment(deal.id(self.domain), deal.provider, result_digest(opening.head, opening.content), opening.salt)

    def waiver(self, creator: LocalSigner, deal: Deal) -> bytes:
        opening = self.opening(deal)
        digest = result_digest(opening.head, opening.content)
        return self.sign(creator, Waiver(deal_id=deal.id(self.domain), result_digest=digest).struct_hash)

    def signed_result(self, provider: LocalSigner, deal: Deal) -> tuple[bytes, int, bytes]:
        message = Result(deal_id=deal.id(self.domain), commitment=self.commitment(deal))
        return deal.id(self.domain), self.commitment(deal), self.sign(provider, message.struct_hash)

    def settling(self, deal: Deal) -> Settling:
        return Settling(deal, self.opening(deal))

    # ---- time and chance

    def pass_judge_deadline(self) -> None:
        """Past the deadline, with the deciding seed still young enough for the block hash opcode."""
        self.mine(2 * PERIOD_BLOCKS + LOOKAHEAD + 1, 1)

    def spared(self, deals: Sequence[Deal], submitted_in_block: int) -> list[Deal]:
        """The deals that the lottery did not draw."""
        period = submitted_in_block // PERIOD_BLOCKS + 1
        block = self.rpc.request("eth_getBlockByNumber", hex(period * PERIOD_BLOCKS + LOOKAHEAD), False)
        seed = bytes.fromhex(block["hash"][2:])
        return [deal for deal in deals if not is_drawn(seed, deal.id(self.domain), deal.audit_bps)]


def world(hardfork: str) -> tuple[Anvil, World]:
    """A fresh chain that mines a block for each transaction, with Ethereum's code size limit."""
    anvil = Anvil(find_anvil(ROOT), AnvilConfig(chain_id=CHAIN_ID, hardfork=hardfork)).start()
    try:
        return anvil, World(anvil)
    except BaseException:
        anvil.stop()
        raise
