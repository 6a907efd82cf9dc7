"""Training data: sources and packages, the choice of files, corpus with manifest and split, token shards,
fill-in-the-middle, chat documents, batches."""
