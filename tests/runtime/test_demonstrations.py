"""The packages that can be run to show what they do: each says something true, and its exit code tells of a fault."""

import numpy as np
import pytest

import runtime
from runtime import tensor as t
from runtime.engine import __main__ as engine
from runtime.engine.network import Network
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.nn import __main__ as layers
from runtime.tensor import Tensor
from runtime.tensor import __main__ as gradients
from runtime.tensor.gradient_check import slopes
from runtime.text import __main__ as text
from runtime.text import train_bpe, train_characters


def test_every_gradient_of_the_table_agrees(capsys):
    assert gradients.main() == 0
    assert f"{len(gradients.CASES)} of {len(gradients.CASES)} agree" in capsys.readouterr().out


def test_a_wrong_gradient_is_found(monkeypatch, capsys):
    def wrong(x):
        out = t.tanh(x)
        return Tensor.from_op(out.data, (x,), lambda dout: (dout,))  # forgets 1 - tanh^2

    monkeypatch.setattr(gradients, "CASES", [("tanh", wrong, [(3, 7)])])
    assert gradients.main() == 1
    assert "0 of 1 agree" in capsys.readouterr().out


def test_slopes_of_a_product_are_exact():
    a, b = np.array([2.0, 3.0], np.float32), np.array([5.0, 7.0], np.float32)
    one = np.ones(2, np.float32)
    found = slopes(t.mul, [a, b], [one, one])
    assert found.tape == a.sum() + b.sum() and found.error < 1e-4


def test_xor_needs_the_hidden_layer(capsys):
    layers.main()
    said = capsys.readouterr().out
    assert "1000       0.2500" in said
    answers = [float(line.split("=")[1]) for line in said.splitlines() if " xor " in line]
    np.testing.assert_allclose(answers, [0, 1, 1, 0], atol=0.05)


def test_a_line_in_the_pieces_of_every_vocabulary(monkeypatch, capsys):
    monkeypatch.setattr(text, "MODULES", 4)
    assert text.main(["x = 'é'\t+ 1"]) == 0
    said = capsys.readouterr().out
    for name in ("characters", "words", "BPE", "Unigram", "the model's own"):
        assert f"{name}: " in said
    assert "x│·│=│·│'" in said


def test_pieces_join_to_the_line():
    line = "for x in range(10):  # über"
    for train in (train_characters, train_bpe):
        tokenizer = train(["for x in range(10):\n"] * 3, 300)
        shown = text.pieces(tokenizer, line)
        assert len(shown) == len(tokenizer.encode(line))
        assert "".join(p for p in shown if not p.startswith("c3")).startswith("for·x·in·range(10):··#·")


def test_what_serving_costs(monkeypatch, capsys):
    monkeypatch.setattr(engine, "ROUNDS", 1)
    monkeypatch.setattr(engine, "NEW_TOKENS", 2)
    assert engine.main([]) == 0
    said = capsys.readouterr().out
    model = runtime.load_model()
    assert f"{model.spec.n_layers} attention" in said and f"{model.network.cache_bytes / 1e6:.1f} MB" in said
    difference = float(said.split("at most ")[1].split()[0])
    assert difference < 1e-3


@pytest.mark.parametrize("precision", ["f32", "q8_0"])
def test_the_plan_tells_its_operations_and_the_bytes_of_its_matrices(precision):
    spec = DecoderSpec(64, 32, 2, 2, 1, 16, 64, max_context=64)
    weights = {name: p.data for name, p in Decoder(spec, seed=1).parameters().items()}
    operations = Network(spec, weights, precision).operations()
    assert [kind for kind, _ in operations].count("attention") == 2
    matrices = sum(p.size for p in weights.values() if p.ndim == 2)
    read = sum(size for _, size in operations)
    assert read == 4 * matrices if precision == "f32" else matrices < read < 4 * matrices
