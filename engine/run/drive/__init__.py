"""Driving a run: claims, commits, chords, lanes and joins."""
