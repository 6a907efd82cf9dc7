"""Building blocks shared by training and serving: layers with weights, positions, rotary tables, initial weights."""
