"""The domain of trust: names and rules, without sockets, files or frameworks."""
