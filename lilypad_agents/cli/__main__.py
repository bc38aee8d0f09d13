"""`python -m lilypad_agents.cli`: the same as the console script `lilypad`."""

from lilypad_agents.cli.main import main

if __name__ == "__main__":
    main()
