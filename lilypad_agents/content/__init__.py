"""Content addressing: CIDs, UnixFS trees, CAR archives, the local store, the HTTP gateway and its client.

Everything is named by its hash and verified where it is read; nothing here knows deals, accounts or the chain.
Source: IPIP-499 profile `unixfs-v1-2025`, CAR v1, the trustless gateway specification, protocol section 5.
"""
