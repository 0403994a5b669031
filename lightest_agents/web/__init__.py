"""The look that all agents' pages share."""
