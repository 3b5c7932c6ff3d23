"""Mutation testing of pipeline/decide, correct and numerics: the share of broken lines that their tests notice.

python -m benchmarks.mutants [--each N] [--seed N] [--children N] [--all] [MODULE ...]

mutmut (extra `mutation`; configuration in pyproject.toml) makes the mutants and runs the tests that reach the function
of each, quickest first. It works in a copy of the tracked files, changes only the modules that are named, and runs only
the tests of their packages. A sample of each module is drawn with a seed; `--all` takes every mutant, CPU hours.
Survivors are printed last; `mutmut show NAME`, called in the folder of the copy, prints the difference.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MUTMUT = Path(sys.executable).parent / "mutmut"
GENERATE = "from mutmut.__main__ import copy_src_dir, create_mutants; copy_src_dir(); create_mutants(1)"
KILLED = ("killed", "timeout", "segfault", "suspicious")
EACH, SEED = 12, 1
PACKAGES = ("decide", "pair", "ground", "correct", "numerics")
RESULT = re.compile(r"^ +(pipeline\.(\w+\.\w+)\.\S+): ([\w ]+)$", re.MULTILINE)


def call(folder: Path, *command: str) -> str:
    """Standard output of a command in a folder; raises CalledProcessError if it fails."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout


def copy_checkout(modules: Sequence[str]) -> Path:
    """A copy of the tracked files, configured for these modules (as decide.steps) and the tests of their packages."""
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    for name in call(ROOT, "git", "ls-files", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    settings = folder / "pyproject.toml"
    text = settings.read_text(encoding="utf-8")
    for key, values in {
        "only_mutate": [f"pipeline/{module.replace('.', '/')}.py" for module in modules],
        "pytest_add_cli_args_test_selection": sorted({f"tests/{module.split('.')[0]}" for module in modules}),
    }.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {values}".replace("'", '"'), text, flags=re.MULTILINE)
    settings.write_text(text, encoding="utf-8")
    return folder


def results(folder: Path) -> dict[str, dict[str, str]]:
    """Module -> mutant -> what became of it."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, module, status in RESULT.findall(call(folder, str(MUTMUT), "results", "--all", "true")):
        found[module][name] = status
    return dict(sorted(found.items()))


def sample(mutants: dict[str, dict[str, str]], each: int | None, seed: int) -> dict[str, list[str]]:
    """Module -> names: some of each module, the same for the same seed; None = all."""
    drawn = {}
    for module, names in mutants.items():
        ordered = sorted(names)
        random.Random(f"{seed} {module}").shuffle(ordered)
        drawn[module] = ordered[:each]
    return drawn


def table(drawn: dict[str, list[str]], found: dict[str, dict[str, str]]) -> str:
    """A row for each module, and their sum."""
    rows, sums = [], [0] * 4
    for module, names in drawn.items():
        states = [found[module][name] for name in names]
        dead = sum(state in KILLED for state in states)
        row = [len(found[module]), len(states), dead, len(states) - dead]
        sums = [one + other for one, other in zip(sums, row, strict=True)]
        rows.append((module, row))
    lines = [
        f"| {name} | {total} | {tried} | {dead} | {alive} | {100 * dead / max(tried, 1):.0f} % |"
        for name, (total, tried, dead, alive) in [*rows, ("**all**", sums)]
    ]
    return "\n".join(["| module | mutants | tried | killed | survived | killed |", "|---|---|---|---|---|---|", *lines])


def main(each: int | None = EACH, seed: int = SEED, children: int = 2, modules: tuple[str, ...] = ()) -> str:
    """The section of RESULTS.md; survivors go to standard output."""
    every = [
        f"{package}.{path.stem}" for package in PACKAGES for path in (ROOT / "pipeline" / package).glob("[!_]*.py")
    ]
    folder = copy_checkout(modules or every)
    print(f"working in {folder}")
    call(folder, sys.executable, "-c", GENERATE)
    drawn = sample(results(folder), each, seed)
    names = (name for names in drawn.values() for name in names)
    call(folder, str(MUTMUT), "run", "--max-children", str(children), *names)
    found = results(folder)
    for module, names in drawn.items():
        print(*(f"{found[module][name]}: {name}" for name in names if found[module][name] not in KILLED), sep="\n")
    size = "every mutant" if each is None else f"a sample of {each} of each module, seed {seed}"
    return (
        f"## Mutants\n\n`python -m benchmarks.mutants`, mutmut: {size}. Killed by the tests of the same package\n"
        "without those of many seconds (see pyproject.toml): a lower bound. A mutant that no test reaches counts as\n"
        f"survived.\n\n{table(drawn, found)}\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Mutation testing of pipeline/decide, correct and numerics.")
    parser.add_argument("modules", nargs="*", help="as decide.steps; default: all")
    parser.add_argument("--each", type=int, default=EACH, help="mutants of each module")
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--children", type=int, default=2, help="processes")
    chosen = parser.parse_args()
    print(main(None if chosen.all else chosen.each, chosen.seed, chosen.children, tuple(chosen.modules)))
