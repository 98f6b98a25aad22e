"""Writes: one file per noun, functions named noun_verb, one transaction each."""
