"""The inference engine: spec -> plan, KV cache, one lane of requests with priorities."""
