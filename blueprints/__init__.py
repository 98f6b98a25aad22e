"""The Django app that remembers: every table, what reads and what writes it."""
