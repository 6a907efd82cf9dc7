"""`hearth bench`: how fast a model runs on this machine, beside a peer on the same file where one is installed.

Every round takes one sample of ours and one of the peer's, so that both share whatever else the machine does; figures
are medians, the ratio is the median of the rounds' ratios. `hearth bench kernels` times the kernels alone.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from lsp_server.commands.options import add_model_options, busy, make_parser, positive

KINDS = ("prefill", "decode")


def parser() -> argparse.ArgumentParser:
    p = make_parser(
        "bench",
        "Measures how fast a model reads a prompt (prefill) and writes (decode), or the kernels alone.",
        "hearth bench --model qwen.gguf --peer llama-bench --png bench.png",
    )
    p.add_argument("what", nargs="?", choices=[*KINDS, "kernels"], help="one of them (default: prefill and decode)")
    add_model_options(p)
    p.add_argument("--prompt", type=positive, default=512, metavar="N", help="tokens of a prefill (default 512)")
    p.add_argument("--tokens", type=positive, default=128, metavar="N", help="tokens of a decode (default 128)")
    p.add_argument("--depth", type=int, default=0, metavar="N", help="positions cached before (default 0)")
    p.add_argument("--rounds", type=positive, default=5, metavar="N", help="samples of each (default 5)")
    p.add_argument("--weights", default="auto", help="as for load_model: auto, f32, bf16, q8_0, q4_0")
    p.add_argument("--kv", default=None, choices=["f32", "f16", "q8_0"], help="storage of keys and values")
    p.add_argument(
        "--peer", nargs="?", const="llama-bench", metavar="PROGRAM", help="llama.cpp's llama-bench, on the same .gguf"
    )
    p.add_argument("--png", metavar="FILE", help="draw the table (needs the extra `report`)")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    if options.what == "kernels":
        import subprocess

        return subprocess.run([sys.executable, "-P", "-m", "native_kernels"]).returncode
    report = measure(options)
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    if options.png:
        print(draw(report, Path(options.png)), file=sys.stderr)
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """{"model", "threads", "instructions", "load_ms", "first_token_ms", "peak_mb", "rows": [row]}.

    row: {"load", "ours", "samples", "unit", "traffic", "peer", "ratio"} and, with a peer, "peer_samples"; in tokens/s.
    first_token_ms: from the call of load_model to the scores after a prompt of eight ids.
    """
    import runtime
    from lsp_server.commands.llama_bench import LlamaBench
    from runtime.engine.speed import Load, Speed
    from runtime.installed import default_model
    from runtime.machine import machine

    if options.depth < 0:
        raise ValueError(f"--depth must not be negative, got {options.depth}")
    extra = {"kv_type": options.kv} if options.kv else {}
    began = time.perf_counter()
    with busy("loading the model"):
        name = options.model or default_model()
        model = runtime.load_model(name, threads=options.threads, weights=options.weights, **extra)
    network, here = model.network, machine()
    load_ms = (time.perf_counter() - began) * 1000
    Speed(network, Load("prefill", min(8, network.capacity))).sample()
    first_ms = (time.perf_counter() - began) * 1000
    kinds = [options.what] if options.what else list(KINDS)
    loads = [Load(kind, options.prompt if kind == "prefill" else options.tokens, options.depth) for kind in kinds]
    peer = LlamaBench(options.peer, options.model, here.threads, options.kv) if options.peer else None
    rows = []
    for load in loads:
        with busy(f"{load.name}, {options.rounds} rounds"):
            speed = Speed(network, load)
            speed.sample()  # first use: buffers and pages are touched
            ours, theirs = [], []
            for _ in range(options.rounds):
                ours.append(speed.sample())
                if peer:
                    theirs.append(peer.sample(load))
        unit, traffic = speed.traffic(median(ours))
        row = {"load": load.name, "ours": median(ours), "samples": ours, "unit": unit, "traffic": traffic}
        row |= {"peer": None, "ratio": None}
        if theirs:
            ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
            row |= {"peer": median(theirs), "ratio": ratio, "peer_samples": theirs}
        rows.append(row)
    about = {"model": model.name, "threads": here.threads, "instructions": here.instructions}
    return about | {"load_ms": load_ms, "first_token_ms": first_ms, "peak_mb": peak_megabytes(), "rows": rows}


def peak_megabytes() -> float | None:
    """Most memory that this process has had resident, or None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def show(report: dict[str, Any]) -> None:
    print(f"{report['model']}: {report['instructions']}, {report['threads']} threads; tokens a second, medians")
    with_peer = any(row["peer"] for row in report["rows"])
    print(f"{'':16} {'codehearth':>12} {'weights':>14}" + (f" {'llama.cpp':>12} {'ratio':>8}" if with_peer else ""))
    for row in report["rows"]:
        line = f"{row['load']:16} {row['ours']:12.1f} {row['traffic']:8.1f} {row['unit']:5}"
        print(line + (f" {row['peer']:12.1f} {row['ratio']:7.2f}x" if row["peer"] else ""))
    peak = f", at most {report['peak_mb']:.0f} MB resident" if report["peak_mb"] else ""
    print(f"loaded in {report['load_ms']:.0f} ms, first token after {report['first_token_ms']:.0f} ms{peak}")


def draw(report: dict[str, Any], path: Path) -> str:
    """Bars of ours and the peer's; returns what to tell the user."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture: matplotlib is not installed (pip install matplotlib)"
    rows = report["rows"]
    figure = Figure(figsize=(1.5 + 3 * len(rows), 3.6), layout="constrained")
    figure.suptitle(f"{report['model']} · {report['instructions']} · {report['threads']} threads", fontsize=10)
    for axis, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        names = ["codehearth"] + (["llama.cpp"] if row["peer"] else [])
        bars = axis.bar(names, [row["ours"], row["peer"]][: len(names)], color=["#d9623b", "#8d99a6"][: len(names)])
        axis.bar_label(bars, fmt="%.0f", padding=2)
        axis.set_title(row["load"] + (f" — {row['ratio']:.2f}×" if row["peer"] else ""), fontsize=10)
        axis.set_ylabel("tokens a second")
        axis.margins(y=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure).print_png(str(path))
    return f"picture: {path}"
