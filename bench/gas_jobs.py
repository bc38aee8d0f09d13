"""Gas of asking for a job from a contract and of answering it: `measure()` gives the rows for bench/results/gas.json.

On the in-process EVM with nothing warm (`exact=True`), so that a figure is what a receipt would say: intrinsic gas, calldata,
execution, less refunds. The client asks a second time (its nonce word is not zero) with an inputs document of 135 bytes out
of its ledger balance; its callback is allowed 10,000 gas and logs one event. Needs a compiled build. Run: python -m bench.gas_jobs
"""

from __future__ import annotations

import json

from lilypad_agents.execution.strictjson import canonical
from lilypad_agents.protocol.requests import JobRequest
from tests.support.requests import Requests, build_requests, fund

TARGETS = {"job_request": 130_000, "job_delivery": 90_000}
SHORT, LONG = b"x" * 32, b"x" * 1_024


def measure() -> dict[str, int]:
    """Gas by row: a request, its delivery with 32 bytes and with 1 KiB of output, and two failures."""
    requests = build_requests()
    world = requests.world
    client = world.evm.deploy("MinimalClient", requests.jobs, world.module.id, world.token)
    fund(world, client)
    document = canonical(
        {"module": "0x" + world.module.id.hex(), "values": {"message": "hello from a contract"}, "files": {}}
    )
    client.ask(document)
    asked = client.ask(document, exact=True)
    rows = {"job_request": asked.gas_used}
    rows["job_delivery"] = _delivery(requests, requests.requested(asked), SHORT)
    rows["job_delivery_1kib"] = _delivery(requests, requests.requested(client.ask(document)), LONG)
    late = requests.late(requests.requested(client.ask(document)))
    rows["job_failure_late"] = requests.jobs.deliverFailure(late.words, exact=True).gas_used
    expired = requests.requested(client.ask(document))
    world.pass_to(expired.terms.expiry + 1)
    arguments = (expired.requester, expired.terms, expired.inputs_digest)
    rows["job_failure_expired"] = requests.jobs.deliverUnopened(*arguments, exact=True).gas_used
    return rows


def _delivery(requests: Requests, request: JobRequest, stdout: bytes) -> int:
    deal, parts = requests.paid(request, stdout)
    receipt = requests.deliver(deal, parts, stdout, exact=True)
    assert receipt.value is True, "the callback failed"
    return receipt.gas_used


if __name__ == "__main__":
    print(json.dumps({"targets": TARGETS, **measure()}, indent=2))
