"""The agents: creator, provider and solver, and what they share (`runtime`).

Each observes the chain, decides by pure functions, and acts through an outbox; docs/protocol.md and the architecture
notes say why. Nothing here imports Ape.
"""
