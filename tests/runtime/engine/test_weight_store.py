"""Weights in every storage type: exact in float32, near it as stored, converted when asked, packed once, let go."""

import numpy as np
import pytest

import native_kernels as nk
from native_kernels.qtypes import QTYPES
from runtime.engine import weight_store
from runtime.engine.network import Chunk, Network
from runtime.engine.weight_store import WeightStore, type_for
from runtime.files.tensors import StoredTensor
from runtime.models import twin
from runtime.models.spec import DecoderSpec

WRITTEN = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K")
SPEC = DecoderSpec(90, 256, 2, 4, 2, 64, 256, max_context=64, tied=False, qkv_bias=True)


class Stored(dict):
    """Weights as a file would give them, which remembers what was released."""

    def __init__(self, *args):
        super().__init__(*args)
        self.released = []

    def release(self, name):
        self.released.append(name)


def stored(spec, types, seed=0):
    """Random weights: matrix number i is stored as types[i % len(types)]."""
    rng, weights = np.random.default_rng(seed), Stored()
    for number, (name, shape) in enumerate(spec.weight_shapes().items()):
        kind = types[number % len(types)] if len(shape) == 2 else "F32"
        values = rng.standard_normal(shape).astype(np.float32) * np.float32(0.06 if len(shape) == 2 else 0.2)
        values += np.float32("norm" in name)
        data = nk.quantize(kind, np.atleast_2d(values)).reshape(-1)
        data.flags.writeable = False
        weights[name] = StoredTensor(name, kind, shape, data)
    return weights


def floats(weights):
    return {name: weight.float32() for name, weight in weights.items()}


IDS = np.arange(16, dtype=np.int32) * 5


def error(got, want):
    """The largest difference, for what should be exact."""
    return np.abs(got - want).max() / max(1.0, want.std())


def spread(got, want):
    """The root mean square of the differences, for products of activations in int8 or bfloat16."""
    return np.sqrt(np.mean((got - want) ** 2)) / want.std()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", WRITTEN)
def test_a_stored_type_is_exact_in_f32_and_near_it_as_it_is(kind, tied):
    spec = DecoderSpec(90, 256, 1, 4, 2, 64, 256, max_context=64, tied=tied)
    weights = stored(spec, [kind])
    want = twin.logits(spec, floats(weights), IDS)
    assert error(Network(spec, weights, "f32").whole(IDS)[0], want) < 2e-4
    network = Network(spec, weights)
    scores = network.whole(IDS)[0]
    assert error(scores, want) < 2e-4 if kind in ("F32", "F16") else spread(scores, want) < 0.03
    kinds = {name for name, _ in network.operations() if name.startswith("product")}
    assert kinds == {f"product {kind}"}


def test_a_file_of_many_types_keeps_them():
    weights = stored(SPEC, ("Q4_K", "Q6_K", "F16", "Q5_0", "Q8_0", "BF16", "F32"))
    want = twin.logits(SPEC, floats(weights), IDS)
    assert error(Network(SPEC, weights, "f32").whole(IDS)[0], want) < 2e-4
    network = Network(SPEC, weights)
    scores = network.whole(IDS)[0]
    assert spread(scores, want) < 0.03
    assert len({kind for kind, _ in network.operations()} & {f"product {kind}" for kind in QTYPES}) == 7
    one, two = network.new_cache(), network.new_cache()
    network.run([Chunk(IDS[:12], 0, one, 0), Chunk(IDS[:7], 0, two)])
    (first, _), (second, _) = network.run([Chunk(IDS[12:], 12, one), Chunk(IDS[7:8], 7, two)])
    assert spread(first[0], scores[-1]) < 0.03 and spread(second[0], scores[7]) < 0.03


@pytest.mark.parametrize("precision", ["bf16", "q8_0", "q4_0"])
@pytest.mark.parametrize("kind", ["F32", "F16", "Q6_K"])
def test_weights_are_converted_when_asked(precision, kind):
    weights = stored(SPEC, [kind])
    network = Network(SPEC, weights, precision)
    assert {name for name, _ in network.operations() if "product" in name} == {f"product {precision.upper()}"}
    again = {
        name: nk.dequantize(precision.upper(), nk.quantize(precision.upper(), weight.float32()), *weight.shape)
        if len(weight.shape) == 2 and name != "model.embed_tokens.weight" else weight.float32()
        for name, weight in weights.items()
    }  # fmt: skip
    assert spread(network.whole(IDS)[0], twin.logits(SPEC, again, IDS)) < 0.03


def test_rows_that_a_type_cannot_hold_stay_as_they_are():
    assert [type_for(p, "F32", 48) for p in ("f32", "bf16", "q8_0", "auto")] == ["F32", "BF16", "F32", "F32"]
    assert type_for("q8_0", "F16", 48) == "F16" and type_for("q8_0", "Q4_K", 256) == "Q8_0"
    assert type_for("f32", "F16", 48) == "F16" and type_for("f32", "BF16", 48) == type_for("f32", "Q4_0", 64) == "F32"
    spec = DecoderSpec(90, 48, 1, 2, 2, 16, 64, max_context=64)
    weights = floats(stored(spec, ["F32"]))
    network = Network(spec, weights, "q8_0")
    assert {kind for kind, _ in network.operations() if "product" in kind} == {"product F32", "product Q8_0"}
    assert spread(network.whole(IDS)[0], twin.logits(spec, weights, IDS)) < 0.03
    with pytest.raises(ValueError, match="precision must be one of"):
        Network(spec, weights, "q2")


def test_values_that_are_not_finite_are_named():
    weights = floats(stored(SPEC, ["F32"]))
    broken = weights["model.layers.1.mlp.up_proj.weight"].copy()
    broken[3, 4] = np.inf
    weights["model.layers.1.mlp.up_proj.weight"] = broken
    with pytest.raises(ValueError, match=r"layers.1.mlp.up_proj.weight as Q8_0: .* not finite"):
        Network(SPEC, weights, "q8_0")


def test_what_was_packed_is_released_and_tables_stay_where_they_lie():
    weights = stored(SPEC, ["Q4_0"])
    network = Network(SPEC, weights)
    matrices = [name for name, shape in SPEC.weight_shapes().items() if len(shape) == 2]
    assert sorted(weights.released) == sorted(set(matrices) - {"model.embed_tokens.weight"})
    table = weights["model.embed_tokens.weight"].data
    assert any(
        np.shares_memory(table, buffer) for buffer in network._step.builder.buffers if not isinstance(buffer, int)
    )


def test_an_unloaded_network_loads_itself_again():
    network = Network(SPEC, stored(SPEC, ["Q5_K"]))
    cache = network.new_cache()
    before = network.step(IDS, 0, cache)[0]
    network.unload()
    assert not network.loaded and network._plan is None
    assert (network.step(IDS[-1:], len(IDS) - 1, cache)[0] - before < 0.05).all() and network.loaded


def test_packed_matrices_come_from_their_file_and_are_kept_there(monkeypatch):
    monkeypatch.setattr(weight_store, "KEPT_FROM", 0)
    kept: dict[str, np.ndarray] = {}

    class File:
        def __init__(self, layout, room):
            self.layout, self.room, self.finished = layout, room, False

        def matrix(self, name, nbytes, fill):
            if name not in kept:
                kept[name] = np.empty(nbytes, np.uint8)
                fill(kept[name])
            return kept[name]

        def finish(self):
            self.finished = True

    opened = []

    def packed(layout, room):
        opened.append(File(layout, room))
        return opened[-1]

    weights = stored(SPEC, ("Q4_K", "Q6_K", "F16"))
    first = Network(SPEC, weights, packed=packed)
    made, weights.released = set(kept), []
    second = Network(SPEC, weights, packed=packed)
    assert set(kept) == made and len(made) > 5 and all(file.finished for file in opened)
    assert sum(map(len, kept.values())) <= opened[0].room and opened[0].layout == opened[1].layout
    assert not any(weights[name].type in ("Q4_K", "Q6_K") for name in weights.released)
    assert (first.whole(IDS)[0] == second.whole(IDS)[0]).all()


def test_experts_of_quantised_weights():
    spec = DecoderSpec(90, 256, 2, 4, 2, 64, 256, max_context=64, n_experts=6, experts_per_token=2, expert_d_ff=256)
    for types in (["Q4_K"], ["Q8_0"], ["Q6_K", "F16"]):
        weights = stored(spec, types)
        want = twin.logits(spec, floats(weights), IDS)
        assert error(Network(spec, weights, "f32").whole(IDS)[0], want) < 2e-4
        assert spread(Network(spec, weights).whole(IDS)[0], want) < 0.1  # a near tie of the router may fall otherwise


def test_the_room_of_all_matrices_is_enough():
    weights = stored(SPEC, ("Q4_0", "F16", "Q6_K"))
    store = WeightStore(SPEC.weight_shapes(), weights, "auto")
    assert store._room >= sum(weight.data.nbytes for weight in weights.values() if len(weight.shape) == 2)
