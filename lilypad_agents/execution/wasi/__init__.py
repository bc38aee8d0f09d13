"""Our own deterministic WASI preview 1: no host file, clock, entropy or socket is behind it.

`abi` has the numbers, `guest` the memory access, `memfs` the file tree, `host` the state of a run and the published
fuel schedule, `process`, `files` and `paths` the calls, `binding` ties them to an engine. The rules are
notes/execution.md section 2, "Own WASI".
"""
