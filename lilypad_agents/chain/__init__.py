"""What every agent needs of a chain: RPC client, log cursor, transaction outbox, keys, address book, locks."""
