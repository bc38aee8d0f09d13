"""One file per command or group of commands; imported only when the command runs, so that `lilypad --help` stays quick."""
