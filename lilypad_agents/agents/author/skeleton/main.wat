;; A module is a WASI preview 1 command: arguments in, standard output out. This one greets whoever it is told to.
;; Replace it with a program in any language that compiles to WASI, and name its file in lilypad_module.json.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "Hello, ")
  (data (i32.const 32) "!\n")

  (func (export "_start") (local $name i32) (local $length i32)
    ;; pointers to the arguments from 1024 on, their text from 4096 on
    (drop (call $args_get (i32.const 1024) (i32.const 4096)))
    (local.set $name (i32.load (i32.const 1028)))
    (block $counted
      (loop $next
        (br_if $counted (i32.eqz (i32.load8_u (i32.add (local.get $name) (local.get $length)))))
        (local.set $length (i32.add (local.get $length) (i32.const 1)))
        (br $next)))
    ;; three pieces from 64 on: address and length of each
    (i32.store (i32.const 64) (i32.const 16))
    (i32.store (i32.const 68) (i32.const 7))
    (i32.store (i32.const 72) (local.get $name))
    (i32.store (i32.const 76) (local.get $length))
    (i32.store (i32.const 80) (i32.const 32))
    (i32.store (i32.const 84) (i32.const 2))
    (drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 3) (i32.const 96)))))
