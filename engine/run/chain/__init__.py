"""A chain as pure data, the machine that moves it, and its Ctx."""
