"""Small hostile programs (WebAssembly text) with which a machine tests its sandbox."""

from __future__ import annotations

import wasmtime

_HEAD = """
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link" (func $path_link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "../../etc/passwd")
  (data (i32.const 96) "/etc/passwd")
  (data (i32.const 128) "file")
"""

# Each ends with exit status 0 only if everything it tried was refused or bounded in the expected way.
SOURCES = {
    "sockets": "(call $exit (i32.ne (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 16)) (i32.const 58)))",
    "host files": """
      (call $exit (i32.or
        (i32.ne (call $path_open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 16) (i32.const 0)
          (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)) (i32.const 76))
        (i32.ne (call $path_open (i32.const 3) (i32.const 0) (i32.const 96) (i32.const 11) (i32.const 0)
          (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)) (i32.const 76))))""",
    "environment": """
      (drop (call $environ (i32.const 16) (i32.const 20))) (call $exit (i32.load (i32.const 16)))""",
    "links": """
      (call $exit (i32.or
        (i32.ne (call $path_symlink (i32.const 96) (i32.const 11) (i32.const 4) (i32.const 128) (i32.const 4))
          (i32.const 58))
        (i32.ne (call $path_link (i32.const 3) (i32.const 0) (i32.const 96) (i32.const 11) (i32.const 4)
          (i32.const 128) (i32.const 4)) (i32.const 58))))""",
    "memory in steps": """
      (loop
        (drop (memory.grow (i32.const 16)))
        (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 1))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 600))))
      unreachable""",
    "memory at once": "(call $exit (i32.ne (memory.grow (i32.const 4000)) (i32.const -1)))",
    "spin": "(loop (br 0))",
    "stall": "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 131072)) (br 0))",
    "endless output": """
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
      (loop (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))) (br 0))""",
    "full disk": """
      (drop (call $path_open (i32.const 5) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 1)
        (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16)))
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
      (loop
        (local.set $n (call $fd_write (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 20)))
        (br_if 0 (i32.eqz (local.get $n))))
      (call $exit (i32.ne (local.get $n) (i32.const 51)))""",
    "many files": """
      (loop
        (i32.store (i32.const 128) (i32.add (i32.const 0x61616161) (local.get $n)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (drop (call $path_open (i32.const 4) (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 1)
          (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16)))
        (br 0))""",
    "clock and chance": """
      (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 256)))
      (drop (call $random (i32.const 264) (i32.const 32)))
      (i32.store (i32.const 0) (i32.const 256)) (i32.store (i32.const 4) (i32.const 40))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))""",
}


def compile_program(name: str) -> bytes:
    """The wasm of a program in SOURCES."""
    return bytes(wasmtime.wat2wasm(f'(module {_HEAD} (func (export "_start") (local $n i32) {SOURCES[name]}))'))
