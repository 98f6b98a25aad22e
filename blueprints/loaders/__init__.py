"""Reads Blueprint documents from outside."""
