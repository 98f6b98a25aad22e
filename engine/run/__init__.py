"""How a run moves: chains, chords, transitions and the engine that commits them."""
