"""What the blueprints app adds to manage.py."""
