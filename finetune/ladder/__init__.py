"""The ladder: every rung from a bigram table to a Llama-style decoder, trained by one trainer on one text."""
