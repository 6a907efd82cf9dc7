"""Every bound on what is read from files, in one place.

A number from a file is compared with its bound here, and with the size of the file, before anything is allocated.
The largest honest models stay far below all of them.
"""

JSON_BYTES = 100 << 20  # any JSON text, the safetensors header among them (the format's own MAX_HEADER_SIZE)
JSON_DEPTH = 8  # headers and configs; tokenizer.json nests deeper and passes its own bound
TOKENIZER_JSON_DEPTH = 24
JSON_INT_DIGITS = 20  # an unsigned 64-bit number has 20

TENSORS = 1 << 17
TENSOR_NAME = 512  # bytes of UTF-8
DIMS = 8
DIM = 1 << 31
ELEMENTS = 1 << 48
STRING = 16 << 20
METADATA_ENTRIES = 1 << 16
METADATA_KEY = 1 << 16  # bytes; the format's own bound
ARRAY = 1 << 24  # entries of a GGUF array
GGUF_HEADER = 256 << 20  # everything before the tensor data
GGUF_DIMS = 4
GGUF_TENSOR_NAME = 128  # bytes
GGUF_ALIGNMENT = (8, 4096)
SHARDS = 4096

# config.json: numbers that become shapes
LAYERS = 512
WIDTH = 1 << 17
HEADS = 4096
HEAD_DIM = 4096
FEED_FORWARD = 1 << 20
EXPERTS = 4096
VOCABULARY = 1 << 22
CONTEXT = 1 << 24

# what a declared context may cost: a model with a longer one is served with as many positions as these allow
POSITIONS = 1 << 20
ROTARY_BYTES = 128 << 20
CACHE_BYTES = 2 << 30  # keys and values of one sequence
