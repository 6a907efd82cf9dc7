"""Speculation is lossless: greedy text is the same token for token, drawn text has the same distribution; its costs."""

import numpy as np
import pytest

import runtime
from runtime.engine.draft_model import ModelDrafter
from runtime.engine.speculation import Cost, LookupDrafter
from runtime.generate import Chooser, Constraint, Sampling, compile_grammar
from runtime.model import EMBEDDED


@pytest.fixture(scope="module")
def model():
    return runtime.load_model()


@pytest.fixture(scope="module")
def sample():
    return (EMBEDDED / "sample.py").read_text(encoding="utf-8")


def ids_of(pieces):
    return [piece.id for piece in pieces]


REPEATING = "def area(w, h):\n    return w * h\n\n\ndef area(w, h):\n    return w * h\n\n\ndef area("


@pytest.mark.parametrize(
    "how", [{"speculation": "lookup"}, {"speculation": "lookup", "workspace": "w"}, {"draft": "self"}]
)
@pytest.mark.parametrize(
    "options", [{}, {"repetition_penalty": 1.2}, {"stop": ("\n\n",)}, {"grammar": "root ::= [^x]*"}]
)
def test_greedy_text_is_the_same_token_for_token(model, sample, how, options):
    how = {key: model if value == "self" else sample if value == "w" else value for key, value in how.items()}
    for prompt in (REPEATING, sample[:400], "x = 1\n"):
        plain = list(model.generate(prompt, max_tokens=60, **options))
        guessed = list(model.generate(prompt, max_tokens=60, **options, **how))
        assert ids_of(guessed) == ids_of(plain)
        assert [p.text for p in guessed] == [p.text for p in plain]
        np.testing.assert_allclose([p.logprob for p in guessed], [p.logprob for p in plain], atol=1e-5)


def test_the_engine_gives_the_same_text_and_fewer_steps(model, sample):
    steps = []
    run = model.network.run

    def counted(chunks, *rest):
        steps.append(sum(len(chunk.ids) for chunk in chunks))
        return run(chunks, *rest)

    with pytest.MonkeyPatch.context() as patch, runtime.Engine(model) as engine:
        patch.setattr(model.network, "run", counted)
        plain = ids_of(engine.submit(REPEATING, max_tokens=60))
        without, steps[:] = len(steps), []
        assert ids_of(engine.submit(REPEATING, max_tokens=60, speculation="lookup", workspace=sample)) == plain
        assert len(steps) < without / 2
        both = [engine.submit(p, max_tokens=30, speculation="lookup") for p in (REPEATING, sample[:300])]
        for request, prompt in zip(both, (REPEATING, sample[:300]), strict=True):
            assert ids_of(request) == ids_of(model.generate(prompt, max_tokens=30))


def test_infill_takes_it_too(model, sample):
    at = sample.index("return") + 4
    plain = model.infill(sample[:at], sample[at:], max_tokens=30)
    assert model.infill(sample[:at], sample[at:], max_tokens=30, speculation="lookup").ids == plain.ids


def test_lookup_draws_the_same_tokens_with_the_same_seed(model):
    """A guess without randomness counts where the model's own draw agrees, so that not even the draws change."""
    options = {"max_tokens": 50, "temperature": 0.8, "seed": 5}
    plain = ids_of(model.generate(REPEATING, **options))
    assert ids_of(model.generate(REPEATING, **options, speculation="lookup")) == plain


def chi_square_bound(n):
    return n + 3.5 * (2 * n) ** 0.5 + 8


@pytest.mark.parametrize(
    "options", [{"temperature": 1.0}, {"temperature": 0.7, "top_k": 5}, {"temperature": 1.5, "top_p": 0.8}]
)
def test_a_drawn_guess_keeps_the_distribution(options):
    """Leviathan's rule on two arbitrary distributions: what comes out is the large model's (chi-square)."""
    rng = np.random.default_rng(0)
    large, small = (rng.standard_normal(12).astype(np.float32) * 2 for _ in range(2))
    chooser = Chooser(Sampling(**options, seed=1), [], Constraint(None, frozenset()))
    wanted = chooser.chain.probabilities(large)
    odds = Sampling(**options).chain().probabilities(small)
    n, accepted, counts = 12_000, 0, np.zeros(12)
    for _ in range(n):
        guess = int(rng.choice(12, p=odds))
        choice = chooser.choose_against(large, guess, odds)
        counts[choice.id] += 1
        accepted += choice.id == guess
    assert counts[wanted == 0].sum() == 0
    often = wanted > 0
    assert ((counts - n * wanted)[often] ** 2 / (n * wanted[often])).sum() < chi_square_bound(often.sum() - 1)
    assert abs(accepted / n - np.minimum(wanted, odds).sum()) < 0.02  # as the paper's theorem says


@pytest.mark.parametrize("how", ["lookup", "draft"])
def test_whole_texts_have_the_same_distribution(model, how):
    """Pairs of tokens from many short generations with and without: two-sample chi-square."""
    prompt, options = "a = b\na = ", {"max_tokens": 3, "temperature": 1.0, "top_k": 4}
    counts: dict[tuple, list[int]] = {}
    rounds = 250
    for seed in range(rounds):
        kinds = ({}, {"speculation": "lookup"} if how == "lookup" else {"draft": model})
        for side, kind in enumerate(kinds):
            text = tuple(ids_of(model.generate(prompt, seed=seed + 10_000 * side, **options, **kind)))[:2]
            counts.setdefault(text, [0, 0])[side] += 1
    often = [pair for pair in counts.values() if sum(pair) >= 8]
    rest = [sum(pair[side] for pair in counts.values() if sum(pair) < 8) for side in range(2)]
    table = [*often, rest] if sum(rest) else often
    chi2 = sum((a - b) ** 2 / (a + b) for a, b in table)
    assert chi2 < chi_square_bound(len(table) - 1)


def cheap(cost):
    """Further rows cost nothing."""
    for _ in range(50):
        cost.observe(1, 1.0)
        cost.observe(8, 1.0)


def test_a_draft_model_that_is_always_right_takes_few_steps(model):
    prompt = model.prompt("def f(x):\n", 60)
    drafter = ModelDrafter(model.network, Sampling(), model.spec.vocab_size)
    cheap(drafter.cost)
    drafter._seconds = 0.0
    text = ids_of(model.generate("def f(x):\n", max_tokens=40))
    guesses, odds = drafter.propose(np.concatenate([prompt.ids, text[:5]]).astype(np.int32), 8)
    assert guesses.tolist() == text[5:13] and odds is None


def test_lookup_guesses_from_the_workspace_and_not_across_texts():
    drafter = LookupDrafter(100, [[1, 2, 3, 4, 5, 6], [7, 8, 9]])
    cheap(drafter.cost)
    for _ in range(3):
        guesses, odds = drafter.propose(np.array([50, 1, 2, 3], np.int32), 10)
        assert odds is None
    assert guesses.tolist() == [4, 5, 6]


def test_text_that_repeats_nothing_is_hardly_guessed_at():
    rng = np.random.default_rng(0)
    drafter = LookupDrafter(30)
    ids = rng.integers(0, 30, 1500).astype(np.int32)
    guessed = sum(len(drafter.propose(ids[:n], 16)[0]) for n in range(100, 1500))
    assert guessed < 40


def test_longer_guesses_where_they_are_right_and_cheap():
    cost = Cost()
    assert cost.best_length(0.0, 32) == 0 and cost.best_length(0.1, 32) == 0
    assert cost.best_length(0.99, 32) > cost.best_length(0.8, 32) > cost.best_length(0.5, 32) >= 1
    for _ in range(40):
        cost.observe(1, 0.010)
        cost.observe(9, 0.010)
    assert cost.of_rows()[8] == pytest.approx(1.0, abs=0.15) and cost.best_length(0.9, 32) > 12
    for _ in range(60):
        cost.observe(9, 0.090)
    assert cost.of_rows()[8] > 6 and cost.best_length(0.6, 32) == 0
    for _ in range(400):
        cost.observe(1, 0.010)
    assert cost.best_length(0.6, 32) > 0  # tried again after a while


def test_a_disturbed_step_counts_little():
    cost = Cost()
    for _ in range(20):
        cost.observe(1, 0.001)
    cost.observe(1, 1.0)
    assert cost.step < 0.0012
    cost.observe(5, 1.0)
    assert cost.of_rows()[4] < 2.5 and cost.best_length(0.9, 8) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"speculation": "magic"}, "speculation must be"),
        ({"workspace": "text"}, "needs speculation"),
        ({"draft": "self", "speculation": "lookup"}, "either"),
    ],
)
def test_wrong_arguments_are_refused(model, arguments, message):
    arguments = {key: model if value == "self" else value for key, value in arguments.items()}
    with runtime.Engine(model) as engine:
        for call in (model.generate, engine.submit):
            with pytest.raises(ValueError, match=message):
                call("x", **arguments)


@pytest.mark.shared
def test_a_draft_model_needs_the_same_vocabulary(model, shared_data):
    other = runtime.load_model(shared_data / "conformance" / "stories260K" / "hf")
    with pytest.raises(ValueError, match="another vocabulary"):
        model.generate("x", draft=other)


@pytest.mark.shared
def test_a_pretrained_story_teller_says_the_same(shared_data):
    """stories260K writes for itself, for its 8-bit twin and with look-up: always the same tokens."""
    folder = shared_data / "conformance" / "stories260K" / "hf"
    large, small = runtime.load_model(folder, weights="f32"), runtime.load_model(folder, weights="q8_0")
    prompt = [1, 403, 407, 261, 378]
    plain = ids_of(large.generate(prompt, max_tokens=200))
    assert ids_of(large.generate(prompt, max_tokens=200, draft=small)) == plain
    assert ids_of(large.generate(prompt, max_tokens=200, speculation="lookup")) == plain


def test_a_grammar_and_guesses_agree(model):
    assert compile_grammar("root ::= [a-z]+").n_states
    options = {"max_tokens": 40, "grammar": 'root ::= ("ab" | "cd" | " ")+'}
    plain = ids_of(model.generate("ab ab ab ", **options))
    assert ids_of(model.generate("ab ab ab ", **options, speculation="lookup")) == plain
