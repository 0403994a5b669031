"""Looking after a running cluster from the operator's machine: over SSH, from the same inventory."""
