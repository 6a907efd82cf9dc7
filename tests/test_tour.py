"""A guided tour: from one matrix product to a completion at a caret. Under ten seconds; start reading here.

Each stop is one test that uses what the stops before it showed, and names the file to open next.
"""

import numpy as np
import pytest

import native_kernels as nk
import runtime
from native_kernels import reference
from runtime import tensor
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
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


def test_1_a_matrix_product():
    """native_kernels/reference.py says what is computed; native_kernels/src/k_gemm.inc computes it fast."""
    a, b = rng.standard_normal((33, 17), dtype=np.float32), rng.standard_normal((17, 65), dtype=np.float32)
    np.testing.assert_allclose(nk.gemm(a, b), reference.gemm(a, b), rtol=1e-4, atol=1e-5)


def test_2_the_same_numbers_on_every_instruction_set():
    """native_kernels/src/dispatch.c picks the best table for this CPU; each gives the same numbers."""
    x, w = rng.standard_normal((5, 64), dtype=np.float32), rng.standard_normal((64, 48), dtype=np.float32)
    before = nk.isa()
    try:
        for name in nk.available_isas():
            nk._select(name)
            np.testing.assert_allclose(nk.gemm(x, w), x @ w, rtol=1e-4, atol=1e-4, err_msg=name)
    finally:
        nk._select(before)


def test_3_a_gradient():
    """runtime/tensor/ops.py: every operation stands beside its vector-Jacobian product."""
    w = tensor.Tensor([[2.0, -1.0]], requires_grad=True)
    loss = tensor.sum_(tensor.mul(tensor.linear(tensor.Tensor([[3.0, 4.0]]), w), tensor.Tensor(0.5)))
    loss.backward()
    assert loss.item() == 1.0
    np.testing.assert_array_equal(w.grad, [[1.5, 2.0]])


def test_4_text_becomes_ids_and_comes_back(tokenizer):
    """runtime/text/bpe.py: byte pairs that occur often become one token."""
    ids = tokenizer.encode(SOURCE)
    assert tokenizer.decode(ids) == SOURCE and len(ids) < len(SOURCE) / 2


def test_5_a_network_learns(trained, tokenizer):
    """runtime/models/decoder.py builds it from a description; the loss falls from guessing to knowing."""
    _, losses = trained
    assert abs(losses[0] - np.log(tokenizer.vocab_size)) < 0.5 and losses[-1] < 0.2


def test_6_the_plan_computes_what_autograd_computes(trained, tokenizer):
    """runtime/engine/network.py compiles the same description into one native call per step."""
    decoder, _ = trained
    weights = {name: p.data for name, p in decoder.parameters().items()}
    from runtime.engine.network import Network

    ids = np.array(tokenizer.encode(SOURCE), dtype=np.int32)
    scores = Network(decoder.spec, weights).whole(ids)[0]
    np.testing.assert_allclose(scores, decoder.logits(ids[None]).data[0], rtol=1e-3, atol=1e-3)


def test_7_a_model_is_a_folder(model):
    """runtime/files/safetensors.py reads it, validating before viewing; runtime/model.py puts it together."""
    assert model.spec.vocab_size == model.tokenizer.vocab_size
    assert model.logits(model.tokenizer.encode("def")).shape == (
        len(model.tokenizer.encode("def")),
        model.spec.vocab_size,
    )


def test_8_the_model_continues_text(model):
    """runtime/engine/generation.py: one quantum of work at a time."""
    prompt = [model.tokenizer.special["<|endoftext|>"], *model.tokenizer.encode("def add(a, b):")]
    text = "".join(piece.text for piece in model.generate(prompt, max_tokens=12))
    assert text.startswith('\n    """Return the sum')


def test_9_a_completion_at_a_caret(model):
    """runtime/code: what the model should see, and what of its answer fits into the file."""
    from runtime.code.caret import Caret
    from runtime.code.complete import complete
    from runtime.code.lines import split_lines
    from runtime.code.postprocess import Offer

    lines = split_lines(SOURCE[: SOURCE.index("urn a - b")])
    engine = runtime.Engine(model)
    try:
        done = complete(model, engine, Caret(lines, len(lines) - 1, len(lines[-1])), max_tokens=16)
    finally:
        engine.close()
    assert isinstance(done.result, Offer) and done.result.text == "urn a - b"


# ---- what the stops share ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe([SOURCE * 4], 300, special_tokens=SPECIAL_TOKENS)


@pytest.fixture(scope="module")
def trained(tokenizer):
    """A two-layer decoder that has read SOURCE 160 times, and its losses."""
    ids = np.array([tokenizer.special["<|endoftext|>"], *tokenizer.encode(SOURCE)], dtype=np.int32)[None]
    decoder = Decoder(DecoderSpec(tokenizer.vocab_size, 64, 2, 2, 1, 32, 128, max_context=256), seed=4)
    moments = {
        name: (np.zeros(p.data.size, np.float32), np.zeros(p.data.size, np.float32))
        for name, p in decoder.parameters().items()
    }
    losses = []
    for step in range(1, 161):
        decoder.zero_grad()
        loss = decoder.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        losses.append(loss.item())
        for name, p in decoder.parameters().items():
            m, v = moments[name]
            nk.adamw(p.data.reshape(-1), p.grad.reshape(-1), m, v, 1e-2 * (1 - step / 161), 0.9, 0.95, 1e-8, 0.0, step)
    return decoder, losses


@pytest.fixture(scope="module")
def model(trained, tokenizer, tmp_path_factory):
    import json

    from runtime.files.safetensors import write_safetensors

    decoder, _ = trained
    folder = tmp_path_factory.mktemp("tour")
    write_safetensors(folder / "model.safetensors", {name: p.data for name, p in decoder.parameters().items()})
    (folder / "config.json").write_text(json.dumps(decoder.spec.to_hf_config()))
    tokenizer.save(folder / "tokenizer.json")
    return runtime.load_model(folder)
