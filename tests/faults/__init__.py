"""Every fault of the acceptance list, injected into real agents on a real chain: `python -m tests.faults`."""
