"""What asking and answering cost stays within the budget. Issue 5: request 130k, delivery with a 10k-gas callback 90k."""

from __future__ import annotations

from bench.gas_jobs import TARGETS, measure


def test_measure__asking_and_answering__stays_within_the_targets() -> None:
    rows = measure()
    assert {name: rows[name] for name, most in TARGETS.items() if rows[name] > most} == {}
    assert set(rows) == {*TARGETS, "job_delivery_1kib", "job_failure_late", "job_failure_expired"}
