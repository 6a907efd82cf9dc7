"""What looks like a secret, and what does not. No value here is a real one."""

import base64
import random
import string
import uuid

import pytest

from runtime.code.secret_rules import is_secret_file, secret_lines, without_secrets

LETTERS = string.ascii_letters + string.digits


def drawn(n: int, alphabet: str = LETTERS, seed: int = 0) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=n))


SECRETS = [
    'aws = "AKIA' + drawn(16, string.ascii_uppercase + string.digits) + '"',
    "token: ghp_" + drawn(36),
    'client("sk-' + drawn(40) + '")',
    'url = "https://admin:tr0ub4dor@db.example.org/x"',
    "PASSWORD = 'hunter2-hunter2'",
    '"api_key": "' + drawn(12) + '",',
    'config["secret"] = b"ab!cd.ef-gh"',
    'digest = "' + drawn(64, "0123456789abcdef") + '"',
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    "Authorization: Basic " + base64.b64encode(bytes(random.Random(1).choices(range(256), k=30))).decode(),
]
PLAIN = [
    "def test_the_password_is_never_shown_in_the_log(self, client_secret_2):",
    "class SelectorEventLoopUnixSockSendfileTests(test_utils.TestCase):",
    'password = "${PASSWORD}"',
    'password = "password"',
    'token = tokenizer.special["<|endoftext|>"]',
    'secret = "your-secret-here"',
    'path = "/usr/local/lib/python3.11/site-packages/numpy/core/_multiarray_umath.so"',
    "# " + "=" * 70,
    'TOKEN_NAME = "codehearth.token.path"',
    'key = "model.layers.0.self_attn.q_proj.weight"',
    "assert 0x0123456789 == 4886718345",
    'uid = "' + str(uuid.UUID(int=random.Random(3).getrandbits(128))) + '"',
    'url = "https://example.org/a/b?user=me&page=2"',
    'database = "postgres://user:password@localhost/test"',
]


@pytest.mark.parametrize("line", SECRETS)
def test_lines_with_a_secret_are_found(line):
    assert secret_lines("a = 1\n" + line + "\nb = 2\n") == [1]


@pytest.mark.parametrize("line", PLAIN)
def test_ordinary_lines_stay(line):
    assert secret_lines(line) == []


def test_random_tokens_are_found_and_names_are_not():
    found = sum(bool(secret_lines(f'x = "{drawn(32, seed=seed)}"')) for seed in range(300))
    assert found >= 290  # 32 letters and digits drawn at random
    words = "request response handler connection pool manager table index event queue client server parse token".split()
    camel = ["".join(w.title() for w in random.Random(s).choices(words, k=5)) + str(s % 10) for s in range(300)]
    snake = ["_".join(random.Random(s).choices(words, k=6)) + f"_{s}" for s in range(300)]
    assert sum(bool(secret_lines(f"x = {name}()")) for name in camel + snake) <= 3


def test_a_key_block_goes_as_a_whole_and_without_an_end_so_does_the_rest():
    block = "-----BEGIN RSA PRIVATE KEY-----\nabc\ndef\n-----END RSA PRIVATE KEY-----"
    text, n = without_secrets(f"a = 1\nKEY = '''\n{block}\n'''\nb = 2\n")
    assert text == "a = 1\nKEY = '''\n'''\nb = 2\n" and n == 4
    assert without_secrets("a = 1\n-----BEGIN PRIVATE KEY-----\nabc\nb = 2\n") == ("a = 1", 4)
    assert without_secrets("a = 1\n") == ("a = 1\n", 0)


def test_names_of_secret_files():
    for name in (".env", ".env.production", "server.pem", "id_ed25519", "credentials.json", "Secrets.yaml", ".npmrc"):
        assert is_secret_file(name), name
    for name in (".env.example", "environment.py", "keys.py", "secretary.py", "token.py", "public.py", "id_rsa.pub"):
        assert not is_secret_file(name), name
