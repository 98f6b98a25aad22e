"""The journal of a run: its entries, and the projection of entries to facts."""
