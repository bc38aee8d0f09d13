"""The solver: takes signed offers, matches them by the contract's own rule, opens deals, relays content and notes.

It holds nobody's money and can alter no offer; whoever dislikes it uses another one, or none. Start reading at
`agent` (the loop), `decide` (what to open) and `api` (what it serves); `client` is the other side.
"""
