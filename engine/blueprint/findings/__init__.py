"""The findings about a document, with their places and texts."""
