"""The mediator: takes seats in disputes, re-runs what is doubted, votes, and calls the steps that are due."""
