"""From a caret to an offer: the cache of offers, and the bridge between the event loop and the engine's thread."""
