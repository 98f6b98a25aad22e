"""Messages between Redis and Celery: the transport and what it lets through."""
