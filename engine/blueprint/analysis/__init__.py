"""Analysis of a flow before it runs."""
