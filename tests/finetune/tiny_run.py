"""A tiny but real training run as a process of its own, for tests that kill it: OUT STEPS [--resume|--signals]."""

import sys

import numpy as np

from finetune.interrupt import finish_on_signals
from finetune.trainer import Trainer, TrainSettings
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec

SPEC = DecoderSpec(vocab_size=32, d_model=32, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=16, d_ff=64, max_context=24)


class CountingBatches:
    """Rows that count upwards (mod 32) from random starts, with gaps: learnable, and the random state counts."""

    def __init__(self, seed: int = 0, batch: int = 4, context: int = 24):
        self.rng = np.random.default_rng(seed)
        self.shape = (batch, context + 1)

    def __next__(self):
        start = self.rng.integers(0, 32, (self.shape[0], 1))
        rows = ((start + np.arange(self.shape[1])) % 32).astype(np.int32)
        targets = rows[:, 1:].copy()
        targets[self.rng.random(targets.shape) < 0.1] = -1
        return np.ascontiguousarray(rows[:, :-1]), targets

    def state_dict(self):
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state):
        self.rng.bit_generator.state = state["rng"]


def trainer(out, steps=None, minutes=None, batches=None, model=None, **options):
    settings = {"lr": 1e-2, "warmup": 5, "accumulate": 2, "eval_every": 0, "checkpoint_every": 4, "sample_every": 0}
    names = ("evaluate", "sample", "listener", "facts")
    extra = {name: options.pop(name) for name in names if name in options}
    settings = TrainSettings(steps=steps, minutes=minutes, **(settings | options))
    return Trainer(model or Decoder(SPEC, seed=3), batches or CountingBatches(), settings, out, **extra)


if __name__ == "__main__":
    run = trainer(sys.argv[1], steps=int(sys.argv[2]), facts={"tokenizer": "abc"})
    if "--signals" in sys.argv:
        with finish_on_signals(run.stop) as caught:
            run.run()
        print("stopped after", run.step)
        sys.exit(128 + caught.signal)
    run.run(resume="--resume" in sys.argv)
