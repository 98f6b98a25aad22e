"""The Django app with the tables, their queries and writes, and Blueprint files."""
