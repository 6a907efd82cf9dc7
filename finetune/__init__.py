"""Everything that changes weights: corpus, trainer, checkpoints, export, evaluation. Knows no editor."""
