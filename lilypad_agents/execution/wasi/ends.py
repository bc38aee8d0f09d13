"""Exceptions that end a run from inside a host call. They carry fixed words only, never text of the host."""

from __future__ import annotations


class EndOfRun(Exception):
    """Base of the ends that a host call makes."""


class GuestExit(EndOfRun):
    """The program called proc_exit; `code` is its status modulo 256."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code & 0xFF


class OutOfFuel(EndOfRun):
    """The charge of a host call is more than the fuel that is left."""


class QuotaExceeded(EndOfRun):
    """A declared limit was passed; `what` names it: stdout, stderr, outputBytes, outputFiles, outputNames."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class HostFault(EndOfRun):
    """A host call failed in a way that is a fault of ours; the run is refunded and nobody is blamed."""
