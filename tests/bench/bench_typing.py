"""Times ghost text as an editor sees it: types a file key by key into the real server and waits for each answer.

    python tests/bench/bench_typing.py [--model FOLDER] [--file FILE] [--keys 50] [--delay 0.12]

Each key is an incremental change followed by a request, which is cancelled when the next key comes before its answer.
 Prints one JSON object: p50, p95, p99 in ms of fresh answers and, by origin, of those from the cache.
No part of the test suite: it measures, it asserts nothing.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1] / "lsp_server"))
sys.path.append(str(HERE.parents[2]))  # a checkout that is not installed


def percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None


async def measure(options: argparse.Namespace) -> dict:
    from connection import connect  # stands with the tests of the server

    command = [sys.executable, "-P", "-m", "lsp_server"]
    command += ["--model", options.model] if options.model else []
    lines = Path(options.file).read_text(encoding="utf-8").split("\n")
    middle = next(i for i in range(len(lines) // 2, len(lines)) if lines[i].strip())
    typed = "\n".join(lines[middle:])[: options.keys]
    times: dict[str, list[float]] = {"engine": [], "cache": [], "cancelled": [], "silent": []}
    first = None
    async with connect(Path(tempfile.mkdtemp()), command, HEARTH_LOG_LEVEL="ERROR") as c:
        status = await c.state("ready", 120)
        c.open("\n".join([*lines[:middle], "", *lines[middle + options.keys // 30 + 1 :]]))
        line, column = middle, 0
        running: list[asyncio.Task] = []

        async def ask(number: int, line: int, column: int) -> None:
            nonlocal first
            began = time.perf_counter()
            try:
                answer = await c.ask(line, column, number=f"key-{number}")
            except JsonRpcException:
                times["cancelled"].append((time.perf_counter() - began) * 1000)
                return
            spent = (time.perf_counter() - began) * 1000
            first = spent if first is None else first
            timing = await c.command("codehearth.lastTiming")
            times["silent" if answer is None else timing["origin"]].append(spent)

        for number, key in enumerate(typed):
            c.edit((line, column), (line, column), key)
            line, column = (line + 1, 0) if key == "\n" else (line, column + 1)
            if running and not running[-1].done():
                c.client.cancel_request(t.CancelParams(id=f"key-{number - 1}"))
            running.append(asyncio.ensure_future(ask(number, line, column)))
            await asyncio.sleep(options.delay)
        await asyncio.gather(*running)
    fresh = times["engine"] + times["silent"]
    return {
        "model": status.model,
        "keys": len(typed),
        "p50_ms": percentile(fresh, 0.50),
        "p95_ms": percentile(fresh, 0.95),
        "p99_ms": percentile(fresh, 0.99),
        "first_ms": round(first, 2) if first else None,
        "by_origin": {
            name: {"n": len(v), "p50_ms": percentile(v, 0.5), "p95_ms": percentile(v, 0.95)}
            for name, v in times.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="model folder (default: the one that ships)")
    parser.add_argument(
        "--file", default=str(HERE.parents[2] / "runtime" / "code" / "caret.py"), help="file to type from"
    )
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--delay", type=float, default=0.12, help="seconds between keys (0.12 is 100 words a minute)")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
