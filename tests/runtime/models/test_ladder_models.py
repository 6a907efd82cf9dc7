"""The rungs of the ladder: what each model promises, and that scores and gradients equal torch's with equal weights."""

import numpy as np
import pytest

from runtime import tensor as t
from runtime.files.errors import FormatError
from runtime.models.bigram import Bigram
from runtime.models.encoder import Encoder, EncoderSpec
from runtime.models.feed_forward_lm import FeedForwardLM
from runtime.models.gpt import GPT, GPTSpec
from runtime.tensor.optim_ops import adamw, sum_squares

GPTS = {
    "smallest": GPTSpec(97, 2, 2, 64, 64),
    "one head": GPTSpec(33, 1, 1, 20, 24, 1e-6),
    "three layers": GPTSpec(131, 3, 3, 36, 40),
}
ENCODERS = {
    "small": EncoderSpec(61, 3, 0, 32, 2, 2, 64, 24),
    "three segments": EncoderSpec(45, 1, 2, 24, 1, 3, 40, 20, n_segments=3, norm_eps=1e-6),
}


def every_model():
    return {
        "bigram": Bigram(29),
        "feed-forward": FeedForwardLM(29, 4, 6, 20, seed=1),
        "gpt": GPT(GPTSpec(29, 2, 2, 16, 12), seed=1),
        "encoder": Encoder(EncoderSpec(29, 3, 0, 16, 2, 2, 24, 12), seed=1),
    }


def ids_of(rng, vocab_size, shape, low=4):
    return rng.integers(low, vocab_size, shape).astype(np.int32)


def randomise(model, rng, std=0.3):
    """Weights without zeros and ones, so that every one of them shows."""
    for p in model.parameters().values():
        p.data[...] = rng.standard_normal(p.shape) * std
    return model


@pytest.mark.parametrize("name", every_model())
def test_every_rung_has_the_surface_that_the_trainer_wants(name):
    model, rng = every_model()[name], np.random.default_rng(2)
    ids = ids_of(rng, 29, (3, 10))
    assert model.logits(ids).shape == (3, 10, 29)
    targets = ids_of(rng, 29, (3, 10))
    targets[0, :5] = -1
    loss = model.loss(ids, targets)
    assert loss.shape == () and abs(loss.item() - np.log(29)) < 1.5
    model.zero_grad()
    loss.backward()
    assert all(np.abs(p.grad).max() > 0 for p in model.parameters().values())
    flat = targets.reshape(-1)
    by_logits = t.cross_entropy(t.reshape(model.logits(ids), (30, 29)), flat)
    assert abs(by_logits.item() - loss.item()) < 1e-5


@pytest.mark.parametrize("name", every_model())
def test_bad_ids_and_targets_are_named(name):
    model = every_model()[name]
    with pytest.raises(ValueError, match="vocabulary of 29"):
        model.logits(np.array([[29]], dtype=np.int32))
    with pytest.raises(ValueError, match=r"target 29 is outside"):
        model.loss(np.full((1, 4), 5, np.int32), np.full((1, 4), 29, np.int32))
    with pytest.raises(ValueError, match="differ in shape"):
        model.loss(np.full((1, 4), 5, np.int32), np.full((1, 5), 2, np.int32))


@pytest.mark.parametrize("name", ["feed-forward", "gpt", "encoder"])
def test_the_same_seed_gives_the_same_bits(name):
    for first, again in zip(
        every_model()[name].parameters().values(), every_model()[name].parameters().values(), strict=True
    ):
        np.testing.assert_array_equal(first.data, again.data)


def adam(model, batches, steps, lr):
    moments = {n: (np.zeros_like(p.data), np.zeros_like(p.data)) for n, p in model.parameters().items()}
    for step in range(1, steps + 1):
        model.zero_grad()
        model.loss(*batches(step)).backward()
        for name, p in model.parameters().items():
            adamw(p.data, p.grad, *moments[name], lr * (1 - step / (steps + 1)), 0.9, 0.99, 1e-8, 0.0, step)


def test_the_bigram_table_converges_to_counted_pairs():
    rng = np.random.default_rng(5)
    true = rng.dirichlet(np.full(7, 0.7), 7)
    text = [0]
    for _ in range(4000):
        text.append(int(rng.choice(7, p=true[text[-1]])))
    row = np.array([text], np.int32)
    counts = np.zeros((7, 7))
    np.add.at(counts, (row[0, :-1], row[0, 1:]), 1)
    counted = counts / counts.sum(axis=1, keepdims=True)
    model = Bigram(7)
    adam(model, lambda step: (np.ascontiguousarray(row[:, :-1]), row[:, 1:]), 400, 0.1)
    learned = t.softmax(model.logits(np.arange(7, dtype=np.int32)[None])).data[0]
    assert np.abs(learned - counted).max() < 5e-3
    entropy = -(counts * np.log(np.maximum(counted, 1e-30))).sum() / counts.sum()
    assert abs(model.loss(row[:, :-1].copy(), row[:, 1:]).item() - entropy) < 1e-3


def test_the_feed_forward_model_sees_its_window_and_nothing_else():
    rng = np.random.default_rng(0)
    model = randomise(FeedForwardLM(29, 3, 5, 8), rng)
    ids = ids_of(rng, 29, (1, 9))
    before = model.logits(ids).data[0]
    changed = ids.copy()
    changed[0, 4] = (changed[0, 4] + 1) % 29
    differs = np.abs(model.logits(changed).data[0] - before).max(axis=1) > 0
    np.testing.assert_array_equal(differs, [t in (4, 5, 6) for t in range(9)])


def test_no_gpt_position_sees_what_follows():
    rng = np.random.default_rng(0)
    model = randomise(GPT(GPTS["smallest"]), rng)
    ids = ids_of(rng, 97, (1, 12))
    changed = ids.copy()
    changed[0, 7] = (changed[0, 7] + 1) % 97
    differs = np.abs(model.logits(changed).data[0] - model.logits(ids).data[0]).max(axis=1) > 1e-5
    np.testing.assert_array_equal(differs, np.arange(12) >= 7)


def test_gpt_starts_as_the_paper_says():
    parameters = GPT(GPTSpec(500, 8, 4, 128, 64), seed=3).parameters()
    for name, p in parameters.items():
        if name.endswith("bias"):
            assert not p.data.any(), name
        elif "norm" in name:
            assert (p.data == 1).all(), name
        else:
            residual = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
            assert p.data.std() == pytest.approx(0.02 / (4 if residual else 1), rel=0.05), name


def test_a_checkpoint_that_does_not_fit_is_refused():
    model = GPT(GPTS["one head"])
    config = {"vocab_size": 33, "n_layer": 1, "n_head": 1, "n_embd": 20, "n_positions": 24}
    weights = model.to_hugging_face()
    GPT.from_hugging_face(config, weights)
    with pytest.raises(FormatError, match="activation_function"):
        GPT.from_hugging_face({**config, "activation_function": "relu"}, weights)
    with pytest.raises(FormatError, match=r"wte\.weight has shape \(33, 20\)"):
        GPT.from_hugging_face({**config, "vocab_size": 34}, weights)
    del weights["transformer.h.0.mlp.c_fc.bias"]
    with pytest.raises(FormatError, match=r"lacks h\.0\.mlp\.c_fc\.bias"):
        GPT.from_hugging_face(config, weights)


def test_segments_and_padding_are_read_off_the_ids():
    model = Encoder(ENCODERS["small"])
    ids = np.array([[1, 9, 9, 3, 8, 8, 3, 0, 0], [1, 9, 3, 8, 8, 8, 8, 8, 3]], np.int32)
    np.testing.assert_array_equal(model.token_types(ids)[0], [0, 0, 0, 0, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(model.token_types(ids)[1], [0, 0, 0, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(model.mask(ids).sum(axis=1), [7, 9])


def test_padding_changes_nothing_and_segments_do():
    rng = np.random.default_rng(1)
    model = randomise(Encoder(ENCODERS["small"]), rng)
    ids = np.array([[1, 9, 12, 3, 8, 11, 3]], np.int32)
    padded = np.concatenate([ids, np.zeros((1, 6), np.int32)], axis=1)
    alone = model.logits(ids).data
    np.testing.assert_allclose(model.logits(padded).data[:, :7], alone, rtol=1e-4, atol=1e-5)
    assert np.abs(model.logits(ids, token_types=np.zeros((1, 7), np.int32)).data - alone).max() > 1e-2
    with pytest.raises(ValueError, match="end of each row"):
        model.logits(ids, mask=np.array([[1, 0, 1, 1, 1, 1, 1]]))
    with pytest.raises(ValueError, match="nothing to guess"):
        model.loss(ids, np.full((1, 7), -1, np.int32))


# ---- against torch and transformers ------------------------------------------------------------------------------


def close(ours, theirs, what, tolerance=2e-4):
    theirs = theirs.detach().numpy() if hasattr(theirs, "detach") else theirs
    error = np.abs(ours - theirs).max()
    assert error <= tolerance * max(1.0, float(np.abs(theirs).max())), f"{what}: {error}"


def gradients_agree(model, twin, peer):
    """Compares every gradient by its Hugging Face name; `twin` is of the model's shape and holds them meanwhile.
    Returns the peer's parameters by name."""
    for p, source in zip(twin.parameters().values(), model.parameters().values(), strict=True):
        p.data[...] = source.grad
    theirs = dict(peer.named_parameters())
    for where, gradient in twin.to_hugging_face().items():
        close(gradient, theirs[where].grad, where)
    return theirs


def peer_gpt(transformers, torch, spec, weights):
    config = transformers.GPT2Config(
        vocab_size=spec.vocab_size,
        n_layer=spec.n_layers,
        n_head=spec.n_heads,
        n_embd=spec.d_model,
        n_positions=spec.max_context,
        layer_norm_epsilon=spec.norm_eps,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    with torch.device("meta"):  # the weights come from us: none are drawn
        peer = transformers.GPT2LMHeadModel(config)
    state = {name: torch.from_numpy(w) for name, w in weights.items()}
    missing = peer.load_state_dict(state, strict=False, assign=True)
    assert not missing.unexpected_keys and set(missing.missing_keys) <= {"lm_head.weight"}, missing
    peer.tie_weights()
    return peer.train(), config


def torch_loss(torch, scores, targets):
    return torch.nn.functional.cross_entropy(
        scores.reshape(-1, scores.shape[-1]), torch.from_numpy(targets).long().reshape(-1), ignore_index=-1
    )


@pytest.mark.peer
@pytest.mark.parametrize("name", GPTS)
def test_gpt_logits_and_gradients_equal_transformers(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    spec, rng = GPTS[name], np.random.default_rng(4)
    model = randomise(GPT(spec), rng)
    peer, config = peer_gpt(transformers, torch, spec, model.to_hugging_face())
    ids, targets = ids_of(rng, spec.vocab_size, (3, 17), 0), ids_of(rng, spec.vocab_size, (3, 17), 0)
    targets[1, 4:9] = -1
    scores = peer(torch.from_numpy(ids).long()).logits
    close(model.logits(ids).data, scores, "logits")
    wanted = torch_loss(torch, scores, targets)
    wanted.backward()
    loss = model.loss(ids, targets)
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-4)
    theirs = gradients_agree(model, GPT(spec), peer)
    again = GPT.from_hugging_face(config.to_dict(), {n: p.detach().numpy() for n, p in theirs.items()})
    close(again.logits(ids).data, scores, "logits of the loaded checkpoint")


@pytest.mark.peer
def test_one_step_of_gpt2_small_equals_torch():
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    spec, rng = GPTSpec(), np.random.default_rng(6)
    model = GPT(spec, seed=1)
    assert sum(p.data.size for p in model.parameters().values()) == 124_439_808
    ids, targets = ids_of(rng, spec.vocab_size, (1, 32), 0), ids_of(rng, spec.vocab_size, (1, 32), 0)
    loss = model.loss(ids, targets)
    loss.backward()
    peer, _ = peer_gpt(transformers, torch, spec, model.to_hugging_face())
    wanted = torch_loss(torch, peer(torch.from_numpy(ids).long()).logits, targets)
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    ours = np.sqrt(sum(sum_squares(p.grad) for p in model.parameters().values()))
    theirs = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in peer.parameters())).item()
    assert ours == pytest.approx(theirs, rel=1e-4)
    gradients = {n: p.grad.numpy() for n, p in peer.named_parameters()}
    for p in model.parameters().values():
        p.data[...] = p.grad  # read back under the checkpoint's names and layout
    for where, gradient in model.to_hugging_face().items():
        error = np.linalg.norm(gradient - gradients[where])
        assert error <= 1e-3 * np.linalg.norm(gradients[where]) + 1e-7, where


@pytest.mark.peer
@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_logits_and_gradients_equal_transformers(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    spec, rng = ENCODERS[name], np.random.default_rng(7)
    model = randomise(Encoder(spec), rng)
    peer = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=spec.vocab_size,
            hidden_size=spec.d_model,
            num_hidden_layers=spec.n_layers,
            num_attention_heads=spec.n_heads,
            intermediate_size=spec.d_ff,
            max_position_embeddings=spec.max_context,
            type_vocab_size=spec.n_segments,
            layer_norm_eps=spec.norm_eps,
            pad_token_id=None,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    ).float()
    state = {n: torch.from_numpy(w.copy()) for n, w in model.to_hugging_face().items()}
    missing = peer.load_state_dict(state, strict=False)
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert not missing.unexpected_keys and set(missing.missing_keys) <= tied, missing
    peer.tie_weights()
    ids = ids_of(rng, spec.vocab_size, (4, 15))
    types = rng.integers(0, spec.n_segments, ids.shape).astype(np.int32)
    lengths = np.array([15, 9, 9, 1])
    mask = np.arange(15) < lengths[:, None]
    scores = peer(
        torch.from_numpy(ids).long(),
        attention_mask=torch.from_numpy(mask.astype(np.int64)),
        token_type_ids=torch.from_numpy(types).long(),
    ).logits
    close(model.logits(ids, mask, types).data[mask], scores[torch.from_numpy(mask)], "logits")

    # the loss reads segments and padding off the ids: give the peer what it must have read
    ids = np.where(mask, ids, spec.pad_id).astype(np.int32)
    ids[0, [6, 12]] = ids[1, [4, 8]] = ids[2, 3] = spec.sep_id
    targets = np.where(mask & (rng.random(ids.shape) < 0.4), ids_of(rng, spec.vocab_size, ids.shape), -1)
    types = np.zeros(ids.shape, np.int64)
    types[0, 7:], types[1, 5:], types[2, 4:] = 1, 1, 1
    wanted = torch_loss(
        torch,
        peer(
            torch.from_numpy(ids).long(),
            attention_mask=torch.from_numpy(mask.astype(np.int64)),
            token_type_ids=torch.from_numpy(types),
        ).logits,
        targets.astype(np.int32),
    )
    wanted.backward()
    loss = model.loss(ids, targets.astype(np.int32))
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-4)
    theirs = gradients_agree(model, Encoder(spec), peer)
    again = Encoder(spec)
    again.load_hugging_face({n: p.detach().numpy() for n, p in theirs.items()})
    close(again.logits(ids).data, model.logits(ids).data, "logits of the loaded checkpoint")


@pytest.mark.peer
def test_feed_forward_gradients_equal_torch():
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(8)
    model = randomise(FeedForwardLM(29, 4, 6, 20, start=2), rng)
    leaves = {n: torch.tensor(p.data, requires_grad=True) for n, p in model.parameters().items()}
    ids, targets = ids_of(rng, 29, (3, 11)), ids_of(rng, 29, (3, 11))
    targets[2, :4] = -1
    row = torch.nn.functional.pad(torch.from_numpy(ids).long(), (3, 0), value=2)
    x = leaves["embed_tokens.weight"][row.unfold(1, 4, 1)].reshape(33, 24)
    h = torch.tanh(x @ leaves["tanh_layer.weight"].T + leaves["tanh_layer.bias"])
    scores = h @ leaves["head.weight"].T + leaves["head.bias"]
    close(model.logits(ids).data.reshape(33, 29), scores, "logits")
    wanted = torch_loss(torch, scores, targets)
    wanted.backward()
    loss = model.loss(ids, targets)
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5)
    for where, p in model.parameters().items():
        close(p.grad, leaves[where].grad, where)
