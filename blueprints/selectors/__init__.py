"""Reads: one file per noun, functions named noun_get and noun_list."""
