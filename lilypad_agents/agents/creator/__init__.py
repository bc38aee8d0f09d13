"""The creator: resolves a module, quotes, signs, waits, verifies what comes back, pays or claims what is due."""
