"""Mutation testing of pipeline/decide and pipeline/correct: the share of broken lines that their tests notice.

python -m benchmarks.mutants [--each N] [--seed N] [--children N] [--all] [MODULE ...]

mutmut (extra `mutation`; configuration in pyproject.toml) makes the mutants and runs the tests that reach the function
of each, quickest first. A sample of each module is drawn with a seed; `--all` takes every mutant, CPU hours. Survivors
are printed last; `mutmut show NAME` prints the difference.
"""

import argparse
import os
import random
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MUTMUT = Path(sys.executable).parent / "mutmut"
GENERATE = "from mutmut.__main__ import copy_src_dir, create_mutants; copy_src_dir(); create_mutants(1)"
KILLED = ("killed", "timeout", "segfault", "suspicious")
EACH, SEED = 12, 1
RESULT = re.compile(r"^ +(pipeline\.(\w+\.\w+)\.\S+): ([\w ]+)$", re.MULTILINE)


def call(*command: str) -> str:
    """Standard output of a command in the root of the checkout; raises CalledProcessError if it fails."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout


def results() -> dict[str, dict[str, str]]:
    """Module -> mutant -> what became of it."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, module, status in RESULT.findall(call(str(MUTMUT), "results", "--all", "true")):
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
    call(sys.executable, "-c", GENERATE)
    mutants = {module: names for module, names in results().items() if not modules or module in modules}
    drawn = sample(mutants, each, seed)
    call(str(MUTMUT), "run", "--max-children", str(children), *(name for names in drawn.values() for name in names))
    found = results()
    for module, names in drawn.items():
        print(*(f"{found[module][name]}: {name}" for name in names if found[module][name] not in KILLED), sep="\n")
    size = "every mutant" if each is None else f"a sample of {each} of each module, seed {seed}"
    return (
        f"## Mutants\n\n`python -m benchmarks.mutants`, mutmut: {size}. Killed by the tests of `tests/decide` and\n"
        "`tests/correct` without those of many seconds (see pyproject.toml): a lower bound. A mutant that no test\n"
        f"reaches counts as survived.\n\n{table(drawn, found)}\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Mutation testing of pipeline/decide and pipeline/correct.")
    parser.add_argument("modules", nargs="*", help="as decide.steps; default: all")
    parser.add_argument("--each", type=int, default=EACH, help="mutants of each module")
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--children", type=int, default=2, help="processes")
    chosen = parser.parse_args()
    print(main(None if chosen.all else chosen.each, chosen.seed, chosen.children, tuple(chosen.modules)))
