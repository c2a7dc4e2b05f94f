"""What the cases are made of: real components, started and stopped in a sandbox, and the hub's own
records to judge by."""
