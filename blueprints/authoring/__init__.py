"""The verbs of `manage.py blueprint`: one file per verb."""
