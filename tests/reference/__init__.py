"""The protocol in plain Python, to be read as a specification and run beside the contracts.

One concern a file, in the order of docs/protocol.md: `terms` (3), `ledger` (3.5, 10), `deals` (4 and 6), `mediation` with `rounds` and `division` (6.2),
`staking` (7), `jobs` (9); `protocol` puts them together. These files share no code with the contracts and none with the
agents but names of states. A call that has to revert raises `Refused` with the name of the custom error and changes nothing.

`choices` and `traces` make up histories, `chain` plays them on the real contracts and compares every word of money and state after each
step, `ending` is liveness and the drain, `properties` what must hold around a step, `reader` knows events only, `differential` runs it all.
"""
