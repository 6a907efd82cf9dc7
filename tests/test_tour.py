"""A guided tour: from one matrix product to ghost text, the ten stops of the README's course as code, in seconds.

Each stop is one test that uses what the stops before it showed, and names the file to open next.
"""

import json

import numpy as np
import pytest

import native_kernels as nk
import runtime
from finetune.evaluate import score_batches, token_lengths
from finetune.settings import TrainSettings
from finetune.trainer import Trainer
from lsp_server.completion.offers import Entry, OfferCache
from lsp_server.documents import Document
from native_kernels import reference
from runtime import tensor
from runtime.code.caret import Caret
from runtime.code.complete import complete
from runtime.code.lines import split_lines
from runtime.code.postprocess import Offer
from runtime.engine.network import Network
from runtime.files.safetensors import write_safetensors
from runtime.models.bigram import Bigram
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.nn import __main__ as xor
from runtime.tensor.gradient_check import slopes
from runtime.text import SPECIAL_TOKENS, train_bpe

rng = np.random.default_rng(0)

SOURCE = '''\
def add(a, b):
    """Return the sum of a and b."""
    return a + b


def sub(a, b):
    """Return the difference of a and b."""
    return a - b
'''


def test_1_a_matrix_product_is_the_same_on_every_instruction_set():
    """native_kernels/reference.py says what is computed; native_kernels/src/k_gemm.inc computes it fast."""
    a, b = rng.standard_normal((33, 17), dtype=np.float32), rng.standard_normal((17, 65), dtype=np.float32)
    chosen = nk.isa()
    try:
        for name in nk.available_isas():
            nk._select(name)
            np.testing.assert_allclose(nk.gemm(a, b), reference.gemm(a, b), rtol=1e-4, atol=1e-5, err_msg=name)
    finally:
        nk._select(chosen)


def test_2_a_gradient_is_what_a_small_step_changes():
    """runtime/tensor/tensor.py keeps the tape; in ops.py every operation stands beside its vector-Jacobian product."""
    w = tensor.Tensor([[2.0, -1.0]], requires_grad=True)
    loss = tensor.sum_(tensor.mul(tensor.linear(tensor.Tensor([[3.0, 4.0]]), w), tensor.Tensor(0.5)))
    loss.backward()
    assert loss.item() == 1.0
    np.testing.assert_array_equal(w.grad, [[1.5, 2.0]])
    x, direction = rng.standard_normal((2, 3, 7), dtype=np.float32)
    assert slopes(tensor.softmax, [x], [direction], weights=rng.standard_normal((3, 7))).error < 1e-3


def test_3_layers_learn_what_one_layer_cannot():
    """runtime/nn/layers.py; the loop in runtime/nn/__main__.py is the whole of training."""
    one, two = xor.Xor(np.random.default_rng(1), hidden=0), xor.Xor(np.random.default_rng(1))
    assert xor.learn(one, 300)[-1] > 0.24 and xor.learn(two, 300)[-1] < 0.01


def test_4_text_becomes_ids_and_comes_back(tokenizer):
    """runtime/text/train.py: byte pairs that occur often become one token."""
    ids = tokenizer.encode(SOURCE)
    assert tokenizer.decode(ids) == SOURCE and len(ids) < len(SOURCE) / 2


def test_5_a_table_of_pairs_cannot_know_what_a_transformer_knows(tokenizer, batch, trained, tmp_path):
    """runtime/models/bigram.py, the first rung of the ladder, sees one token; decoder.py, the last, sees them all."""
    pairs = Bigram(tokenizer.vocab_size)
    train(pairs, batch, tmp_path, lr=0.3)
    assert pairs.loss(*batch).item() > 3 * trained.loss(*batch).item()


def test_6_training_goes_on_from_a_checkpoint_as_if_never_stopped(batch, tokenizer, tmp_path):
    """finetune/trainer.py: the loss falls from guessing, and a resumed run computes the same bits."""
    whole, stopped, resumed = (small(tokenizer, layers=1) for _ in range(3))
    assert abs(whole.loss(*batch).item() - np.log(tokenizer.vocab_size)) < 0.5
    train(whole, batch, tmp_path / "whole", steps=8)
    run = Trainer(stopped, Same(batch), settings(8), tmp_path / "stopped", listener=StopAfter(4))
    run.listener.run = run
    run.run()
    again = Trainer(resumed, Same(batch), settings(8), tmp_path / "stopped")
    again.run(resume=True)
    assert (run.step, again.step) == (4, 8)
    for name, parameter in whole.parameters().items():
        np.testing.assert_array_equal(parameter.data, resumed.parameters()[name].data, err_msg=name)


def test_7_bits_per_byte_say_what_it_knows(trained, batch, tokenizer):
    """finetune/evaluate.py: what it has read costs next to nothing, what it has not read costs more than guessing."""
    lengths = token_lengths(tokenizer)

    def bits(*rows):
        return score_batches(lambda ids, targets: trained.loss(ids, targets).item(), [rows], lengths).bits_per_byte

    turned = batch[0][:, ::-1].copy()  # the same tokens in an order that nobody writes
    assert bits(*batch) < 0.1 and bits(turned[:, :-1], turned[:, 1:]) > 5


def test_8_one_call_computes_a_step_in_8_bits_and_from_the_cache(trained, tokenizer):
    """runtime/engine/network.py compiles the same description into a plan; the cache saves what was read before."""
    weights = {name: p.data for name, p in trained.parameters().items()}
    ids = np.array(tokenizer.encode(SOURCE), dtype=np.int32)
    exact = trained.logits(ids[None]).data[0]
    plan, small_plan = Network(trained.spec, weights), Network(trained.spec, weights, "q8_0")
    np.testing.assert_allclose(plan.whole(ids)[0], exact, rtol=1e-3, atol=1e-3)
    assert sum(size for _, size in small_plan.operations()) < 0.3 * sum(size for _, size in plan.operations())
    assert (small_plan.whole(ids)[0].argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.95
    cache = plan.new_cache()
    plan.step(ids[:-1], 0, cache)
    np.testing.assert_allclose(plan.step(ids[-1:], len(ids) - 1, cache)[0][0], exact[-1], rtol=1e-3, atol=1e-3)


def test_9_from_a_caret_to_an_offer(model):
    """runtime/code/complete.py: what the model should see, and what of its answer fits into the file."""
    lines = split_lines(SOURCE[: SOURCE.index("urn a - b")])
    engine = runtime.Engine(model)
    try:
        done = complete(model, engine, Caret(lines, len(lines) - 1, len(lines[-1])), max_tokens=16)
    finally:
        engine.close()
    assert isinstance(done.result, Offer) and done.result.text == "urn a - b"


def test_10_an_offer_follows_what_is_typed():
    """lsp_server/completion/offers.py: who types the offer's own characters needs no model for the rest of it."""
    before = Document.open("file:///a.py", "python", 1, "def sub(a, b):\n    ret")
    cache = OfferCache()
    cache.put(Entry(before, 1, 7, False, Offer("urn a - b")))
    after = before.change(2, (1, 7), (1, 7), "urn a")
    assert cache.find(after, 1, 12, False) == Offer(" - b")
    assert cache.find(before.change(2, (1, 7), (1, 7), "raise"), 1, 12, False) is None


# ---- what the stops share ---------------------------------------------------------------------------------------


class Same:
    """One batch for ever."""

    def __init__(self, batch):
        self.batch = batch

    def __next__(self):
        return self.batch

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class StopAfter:
    """Stops its run after a step, as Ctrl-C would."""

    def __init__(self, step):
        self.step = step

    def stepped(self, step, total, row):
        if step == self.step:
            self.run.stop()

    def __getattr__(self, name):
        return lambda *_: None


def settings(steps, lr=1e-2):
    return TrainSettings(steps=steps, lr=lr, warmup=2, eval_every=0, sample_every=0, checkpoint_every=0)


def train(network, batch, out, steps=160, lr=1e-2):
    Trainer(network, Same(batch), settings(steps, lr), out).run()


def small(tokenizer, layers=2):
    return Decoder(DecoderSpec(tokenizer.vocab_size, 64, layers, 2, 1, 32, 128, max_context=256), seed=4)


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe([SOURCE * 4], 300, special_tokens=SPECIAL_TOKENS)


@pytest.fixture(scope="module")
def batch(tokenizer):
    """SOURCE as one row of ids and the ids that follow them."""
    ids = np.array([tokenizer.special["<|endoftext|>"], *tokenizer.encode(SOURCE)], dtype=np.int32)[None]
    return np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])


@pytest.fixture(scope="module")
def trained(tokenizer, batch, tmp_path_factory):
    """A two-layer decoder that has read SOURCE 160 times."""
    decoder = small(tokenizer)
    train(decoder, batch, tmp_path_factory.mktemp("run"))
    return decoder


@pytest.fixture(scope="module")
def model(trained, tokenizer, tmp_path_factory):
    """A model is a folder: runtime/model.py reads it, validating before viewing."""
    folder = tmp_path_factory.mktemp("tour")
    write_safetensors(folder / "model.safetensors", {name: p.data for name, p in trained.parameters().items()})
    (folder / "config.json").write_text(json.dumps(trained.spec.to_hf_config()))
    tokenizer.save(folder / "tokenizer.json")
    return runtime.load_model(folder)
