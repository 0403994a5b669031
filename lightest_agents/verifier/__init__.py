"""The verifier's agent: walks the chain of trust for each fault and notifies the supplier."""
