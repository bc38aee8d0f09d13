"""The `lilypad` command. `main` holds the group; each command lives in its own file of `commands/`, loaded when it is used."""
