"""Training data: source files, corpus with manifest and split, token shards, fill-in-the-middle, chat documents,
batches."""
