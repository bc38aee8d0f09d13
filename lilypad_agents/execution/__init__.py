"""Module manifests, the deterministic wasm engine, worker processes, results and receipts.

Start reading at `manifest` (what a module is), `prepare` (manifest + inputs -> `JobSpec`), `wasm` (`JobSpec` ->
`RunResult`) and `worker` (the same in a process of its own).
"""
