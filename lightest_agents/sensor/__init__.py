"""The sensor's agent: measures, signs a fault and delivers it to the verifier."""
