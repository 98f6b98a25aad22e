"""What the workers app adds to manage.py."""
