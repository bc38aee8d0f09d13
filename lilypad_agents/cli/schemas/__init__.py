"""JSON Schemas of what commands print: `result.json` (--json), `event.json` (--jsonl), and one for the data of each command."""
