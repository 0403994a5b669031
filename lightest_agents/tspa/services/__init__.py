"""Everything that changes what the TSPA keeps or publishes; `lightest_agents.tspa.selectors` only reads."""
