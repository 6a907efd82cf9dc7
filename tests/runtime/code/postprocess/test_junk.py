import pytest

from runtime.code.postprocess.junk import cut_junk


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("x = 1", "x = 1"),
        ("x = 1<|endoftext|>def", "x = 1"),
        ("x<｜fim▁end｜>", "x"),
        ("x<fim_middle>y", "x"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("half \ufffd", "half "),
        ("bell\x07", "bell"),
        ("a < b or c | d > e", "a < b or c | d > e"),
        ("Callable[[int], str] | None", "Callable[[int], str] | None"),
    ],
)
def test_only_source_survives(raw, text):
    assert cut_junk(raw) == text
