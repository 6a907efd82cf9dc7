"""Building blocks shared by training and serving: rotary tables, initial weights."""
