"""The commands about documents: one file per command."""
