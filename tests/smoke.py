"""Tries an installed Codehearth on any platform, without the test extra: kernels against the numpy twin on every
instruction set of the CPU, and one completion by the embedded model. `python tests/smoke.py`; exit code 1 if anything
is wrong. Knows the public surface only.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import native_kernels as nk
from native_kernels import reference, reference_products


def kernels() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((67, 90)).astype(np.float32), rng.standard_normal((90, 45)).astype(np.float32)
    q, k, v = (rng.standard_normal((1, 40, 2, 16)).astype(np.float32) for _ in range(3))
    for name in nk.available_isas():
        nk._select(name)
        blocks = nk.quantize("Q8_0", np.ascontiguousarray(b.T[:, :64]))
        packed = nk.quant_pack("Q8_0", blocks, 45, 64)
        x = np.ascontiguousarray(a[:, :64])
        for got, expected in (
            (nk.gemm(a, b), reference.gemm(a, b)),
            (nk.gemm_bf16(a, b), reference.gemm_bf16(a, b)),
            (nk.gemm_quant("Q8_0", x, packed, 45), reference_products.product("Q8_0", x, blocks, 45)),
            (nk.attention(q, k, v, 0.25)[0], reference.attention(q, k, v, 0.25)[0]),
        ):
            assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max(), name
        print(f"{name}: the kernels agree with numpy on {nk.threads()} threads")
    nk._select()


def completion() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "area.py"
        file.write_text("def area(width, height):\n    return width * \n")
        code = "import sys; from lsp_server.cli import main; sys.exit(main())"
        command = [sys.executable, "-P", "-c", code, "try", str(file), "--line", "2", "--column", "20", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["tokens"] > 0 and answer["text"], answer
        print(f"completion: {answer['text']!r}")


if __name__ == "__main__":
    kernels()
    completion()
