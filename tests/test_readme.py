"""README.md is true: every command in it runs, its Python runs, its links lead somewhere, its figures are those of
the files they speak of. Commands run as their line says, in an empty home folder; the few that would take minutes, or
change the machine, are shortened by one table.
"""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import runtime
from runtime.files.safetensors import write_safetensors
from runtime.model import EMBEDDED
from runtime.models.decoder import Decoder
from runtime.models.spec import DecoderSpec
from runtime.tensor import __main__ as gradients
from runtime.text import train_bpe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = README[: README.index("## The tree")]
PACKAGES = Path(find_spec("runtime").origin).resolve().parents[1]

# What the README says -> the same command, shortened. None: `tests/run` itself does it before it runs these tests.
# EMAIL is that package of Python's own library; the recipes are the bundled ones with smaller numbers (see `shrink`).
SHORTENED = {
    "git clone <this repository> codehearth && cd codehearth": None,
    "python3 -m venv .venv && . .venv/bin/activate": None,
    "pip install . && hearth try": "hearth try",
    "hearth vscode": "hearth vscode --editor ./editor --vsix codehearth.vsix",
    "tests/run": None,
    "tests/run --no-editor": None,
    "tests/run --long": None,
    "python -P -m native_kernels": "python -P -m native_kernels --size 64 --repeats 1",
    "hearth tune ~/src/project --dry-run": "hearth tune ~/src/project --dry-run --model ./tiny --carets 1",
    "hearth tune ~/src/project --minutes 10": (
        "hearth tune ~/src/project --minutes 0.01 --model ./tiny --carets 1 --keep"
    ),
    "hearth models quantise mine --type Q4_K_M --name mine-q4": (
        "hearth models quantise mine --type Q8_0 --name mine-q4"
    ),
    "hearth models default mine-q4": "hearth models default mine-q4 && hearth models default default",
    "hearth bench --model mine-q4": "hearth bench --model mine-q4 --rounds 1 --prompt 16 --tokens 2",
    "hearth bench": "hearth bench --rounds 1 --prompt 16 --tokens 2",
    "hearth corpus build": "hearth corpus build --from EMAIL --licence PSF-2.0 --vocab-size 400 --split 60/20/20",
    "hearth pretrain --recipe ladder --minutes 1": "hearth pretrain --recipe ladder.toml --steps 1 --out ladder",
    "hearth pretrain --recipe starter --minutes 5": "hearth pretrain --recipe starter.toml --steps 2",
    "hearth eval default --on unseen --opponent ngram suffix --carets 100": (
        "hearth eval default --on unseen --opponent ngram suffix --carets 2 --max-bytes 3000"
    ),
}
# Words that the command must print, or files that it must leave, for what the README says one sees.
SEEN = {
    "pip install . && hearth try": ["the bundled sample", "prefill"],
    "hearth try my_module.py --line 12 --column 9 --json": ['"timing"'],
    "hearth vscode": ["codehearth"],
    "python broken.py 2>&1 | hearth explain": [
        "- return sum(self.artikles",
        "+ return sum(self.articles",
    ],
    "hearth models import ~/Downloads/model.gguf --name mine": ["mine"],
    "hearth models inspect mine": ["Q8_0"],
    "hearth try my_module.py --line 12 --model mine-q4": ["model mine-q4"],
    "hearth bench --model mine-q4": ["pp16", "tg2", "first token after"],
    "hearth tune ~/src/project --dry-run": ["held out to judge", "plan: "],
    "hearth tune ~/src/project --minutes 10": ["bits per byte", "line exact match", "project-tuned"],
    "hearth try my_module.py --line 12 --model project-tuned": ["model project-tuned"],
    "hearth doctor": ["everything that ghost text needs is there"],
    "python -P -m native_kernels": [
        "kernels agree with the numpy reference",
        "naive C loop",
        "tiled C loop",
        "of peak",
    ],
    "python -P -m runtime.tensor": ["by hand", f"{len(gradients.CASES)} of {len(gradients.CASES)} agree"],
    "python -P -m runtime.nn": ["0.2500", "0.0004", "1 xor 1 = 0.0"],
    'python -P -m runtime.text "    for article in self.articles.values():"': ["42 tokens", "BPE", "Unigram", "a│r│t"],
    "hearth pretrain --recipe ladder --minutes 1": [
        "bigram",
        "gpt",
        "llama",
        "bits per byte",
        Path("ladder/ladder.png"),
    ],
    "hearth corpus build": ["left out because", "tokenizer of"],
    "hearth pretrain --recipe starter --minutes 5": [
        "bits per byte",
        Path("../home/.cache/codehearth/runs/starter/curve.png"),
    ],
    "hearth eval default --on unseen --opponent ngram suffix --carets 100": ["bits per byte", "n-gram", "suffix"],
    "python -P -m runtime.engine": ["a step is one native call", "q8_0", "with the cache"],
    "hearth try --inside": ["<|fim_middle|>", "it wrote", "healed", "rule"],
}

LIBRARY = Path(os.__file__).parent
MODULES = "csv.py shelve.py sched.py bisect.py heapq.py json/decoder.py json/encoder.py html/parser.py".split()
BROKEN = """\
class Stock:
    def __init__(self):
        self.articles = {}

    def total(self):
        return sum(self.artikles.values())


print(Stock().total())
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def command_of(line: str) -> str:
    """A line of a shell block without its comment."""
    return re.sub(r"\s+# .*", "", line).strip()


COMMANDS = [command_of(line) for block in blocks("sh") for line in block.splitlines() if command_of(line)]


def shrink(recipe: str, **values) -> str:
    """A bundled recipe with some of its numbers replaced."""
    text = (PACKAGES / "finetune" / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
    for key, value in values.items():
        text, found = re.subn(rf"^{key} *= *[\d.]+", f"{key} = {value}", text, flags=re.MULTILINE)
        assert found, f"{recipe}.toml has no {key}"
    return text


class Place:
    """A home and a folder to work in, with what the README takes for granted: a module, an editor."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        (self.work / "my_module.py").write_text((EMBEDDED / "sample.py").read_text("utf-8"), "utf-8")
        values = {"train_mb": 0.1, "val_kb": 4.0, "subwords": 300, "subwords_mb": 0.1}
        (self.work / "ladder.toml").write_text(shrink("ladder", **values), "utf-8")
        sizes = {"vocab_size": 400, "d_model": 64, "n_layers": 2, "n_heads": 1, "n_kv_heads": 1, "d_ff": 128}
        values = sizes | {"batch": 2, "eval_rows": 2, "sample_every": 2}
        (self.work / "starter.toml").write_text(shrink("starter", **values), "utf-8")
        self.script("editor", "echo done")
        (self.work / "broken.py").write_text(BROKEN, "utf-8")
        for package in ("native_kernels", "runtime", "finetune", "lsp_server"):  # a reader stands in the checkout
            (self.work / package).mkdir()
            (self.work / package / "__init__.py").write_text("raise ImportError('not compiled')\n", "utf-8")
        for module in MODULES:
            source = LIBRARY / module
            target = folder / "home" / "src" / "project" / module
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text("utf-8"), "utf-8")
        with zipfile.ZipFile(self.work / "codehearth.vsix", "w") as archive:
            manifest = {"publisher": "codehearth", "name": "codehearth", "version": "0"}
            archive.writestr("extension/package.json", json.dumps(manifest))
        python = shlex.quote(sys.executable)
        hearth = '-P -c "import sys; from lsp_server.cli import main; sys.exit(main())"'
        self.script("../bin/python", f'exec {python} "$@"')
        self.script("../bin/hearth", f'exec {python} {hearth} "$@"')
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "HEARTH_", "PYTHON"))}
        self.environment = keep | {
            "HOME": str(folder / "home"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(PACKAGES),
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "120",
        }
        self.built = self.run(SHORTENED["hearth corpus build"])
        self.tiny_model()
        downloads = folder / "home" / "Downloads"
        downloads.mkdir()
        runtime.quantize(EMBEDDED, downloads / "model.gguf", type="Q8_0")

    def tiny_model(self) -> None:
        """A folder with random weights, so that tuning takes no time."""
        folder = self.work / "tiny"
        folder.mkdir()
        tokenizer = train_bpe([(LIBRARY / module).read_text("utf-8") for module in MODULES], 1000)
        tokenizer.save(folder)
        spec = DecoderSpec(tokenizer.vocab_size, 32, 1, 1, 1, 32, 64, max_context=512)
        weights = {name: parameter.data for name, parameter in Decoder(spec, seed=1).parameters().items()}
        write_safetensors(folder / "model.safetensors", weights)
        (folder / "config.json").write_text(json.dumps(spec.to_hf_config()), "utf-8")

    def script(self, path: str, line: str) -> None:
        file = self.work / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{line}\n", "utf-8")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def run(self, line: str) -> subprocess.CompletedProcess:
        """One line in a shell, as a reader would type it."""
        return self.call(["sh", "-c", line.replace("EMAIL", shlex.quote(str(LIBRARY / "email")))])

    def call(self, words: list[str]) -> subprocess.CompletedProcess:
        return subprocess.run(
            words, cwd=self.work, env=self.environment, input="", capture_output=True, encoding="utf-8", timeout=300
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("readme"))


def test_the_tables_speak_of_lines_that_the_readme_has():
    assert set(SHORTENED) <= set(COMMANDS) and set(SEEN) <= set(COMMANDS)
    assert len(COMMANDS) > 20 and len(set(COMMANDS)) >= len(COMMANDS) - 1, "a command may stand twice, not more"


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for an editor is a shell script")
@pytest.mark.parametrize("line", [c for c in dict.fromkeys(COMMANDS) if SHORTENED.get(c, c) is not None])
def test_a_command_does_what_the_readme_says(line, place):
    done = place.built if line == "hearth corpus build" else place.run(SHORTENED.get(line, line))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    for seen in SEEN.get(line, []):
        if isinstance(seen, Path):
            assert (place.work / seen).stat().st_size > 1000
        else:
            assert seen in " ".join(done.stdout.split()), done.stdout[-2000:]


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_runs(number, place):
    done = place.call([sys.executable, "-P", "-c", blocks("python")[number]])
    assert done.returncode == 0, done.stderr
    assert "prefill_ms" in done.stdout


def test_recipes_are_called_by_names_that_exist():
    from finetune.recipe import names

    assert {line.split("--recipe ")[1].split()[0] for line in COMMANDS if "--recipe" in line} <= set(names())


# ---- links and paths


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ["README.md", "runtime/RELATED.md", "vscode-extension/README.md"])
def test_links_and_paths_lead_somewhere(page):
    here = ROOT / page
    text = PAGE if page == "README.md" else here.read_text(encoding="utf-8")
    wrong = []
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (here.parent / path) if path else here
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    tops = "native_kernels|runtime|finetune|lsp_server|vscode-extension|tests"
    wrong += [p for p in re.findall(rf"`((?:{tops})/[\w./-]*)`", text) if not (ROOT / p).exists()]
    assert not wrong


# ---- the course and the figures


def stops() -> list[str]:
    return re.split(r"^### (?=\d+ · )", PAGE.split("## The course")[1].split("\n## ")[0], flags=re.MULTILINE)[1:]


def test_the_course_has_ten_stops_each_with_a_file_and_one_block_of_commands():
    assert [int(stop.split()[0]) for stop in stops()] == list(range(1, 11))
    for stop in stops():
        assert len(re.findall(r"^```sh$", stop, re.MULTILINE)) == 1, stop
        assert re.search(r"\nRead .*?\]\([\w/.]+\)", stop, re.DOTALL), stop


def test_the_tour_has_the_course_s_stops():
    tour = (ROOT / "tests" / "test_tour.py").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"^def test_(\d+)_", tour, re.MULTILINE)] == list(range(1, 11))


def model_section() -> str:
    return " ".join(PAGE.split("## The model that comes with it")[1].split("\n## ")[0].split())


def test_the_model_is_described_as_its_files_are():
    parameters = runtime.load_model().spec.n_params()
    assert f"{parameters / 1e6:.1f} million parameters" in model_section()
    size = sum(path.stat().st_size for path in EMBEDDED.iterdir())
    numbers = "six seven eight nine ten eleven twelve".split()
    assert f"{numbers[round(size / 1e6) - 6]} megabytes" in model_section()


def test_the_figures_of_quality_are_those_of_the_card():
    card = re.findall(r"\d+\.\d+", (EMBEDDED / "README.md").read_text(encoding="utf-8"))
    figures = re.findall(r"\d+\.\d+\b(?! million)", model_section())
    assert len(figures) >= 4, "the section gives figures of quality, and of what counting reaches"
    for figure in figures:
        decimals = len(figure.split(".")[1])
        assert any(f"{float(number):.{decimals}f}" == figure for number in card), figure


def test_the_number_of_gradients_is_the_readme_s():
    assert f"then {len(gradients.CASES)} operations" in " ".join(stops()[1].split())
