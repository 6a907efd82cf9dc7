"""Model families described by data: `spec.DecoderSpec` and the networks built from it."""
