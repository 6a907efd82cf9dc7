"""Teaching a model one repository: what to train on, the plan, the run, the blend with the base, and the proof."""
