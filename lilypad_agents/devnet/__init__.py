"""A whole network on this machine: chain, contracts, one solver, two providers, funded accounts, published modules.

Every agent is a process of its own with its own key and folder. Keys come from the public test mnemonic: play money only.
"""
