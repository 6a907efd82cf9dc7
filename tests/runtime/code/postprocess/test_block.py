import pytest
from carets import at

from runtime.code.postprocess.block import cut_at_block_end

INSIDE = at("def f():\n    ¦", multiline=True)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a = 1\n    return a\n\ndef g():\n    pass", "a = 1\n    return a"),
        ("for x in y:\n        z(x)\n    return", "for x in y:\n        z(x)\n    return"),
        ("x = 1\n\n\n    y = 2", "x = 1"),
        ("call(\n        1,\n    )\n    done()", "call(\n        1,\n    )\n    done()"),
        ("one", "one"),
    ],
)
def test_an_offer_ends_with_its_block(raw, text):
    assert cut_at_block_end(raw, INSIDE) == text
