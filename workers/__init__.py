"""A Django app without models: what carries out the steps of runs."""
