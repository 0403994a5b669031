"""The Trust Scheme Publication Authority: publishes the manufacturers' signed trust lists."""
