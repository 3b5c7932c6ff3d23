"""Two looks to alerts, without a history. Pure."""
