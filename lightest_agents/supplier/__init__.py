"""The supplier's agent: takes alarms from the verifier and blinks the lamp."""
