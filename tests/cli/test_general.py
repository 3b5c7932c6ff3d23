"""What every command has in common: start-up, help, verbosity, settings file, secrets' file, encodings, completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import COMMANDS
from tests import world
from tests.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]


def program(
    *arguments: object, cwd: Path = ROOT, python: tuple[str, ...] = (), start: tuple[str, ...] = ("-m", "groundbreak"),
    **environment: str,
):  # fmt: skip
    words = [sys.executable, *python, *start, *map(str, arguments)]
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(words, capture_output=True, cwd=cwd, env=variables, timeout=120)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_import_no_numeric_library(option: str) -> None:
    done = program(option, python=("-X", "importtime"))
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.decode().splitlines()}
    assert not loaded & {"numpy", "pandas", "rasterio", "shapely", "geopandas", "odc", "scipy", "matplotlib"}


def test_a_command_without_results_imports_no_data_frames() -> None:
    done = program("status", "--help", python=("-X", "importtime"))
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.decode().splitlines()}
    assert "pipeline" in loaded and not loaded & {"pandas", "geopandas", "matplotlib", "skimage"}


def test_the_bare_command_and_a_bare_group_print_their_help(command: Command) -> None:
    for words in ((), ("sites",)):
        done = command(*words)
        assert done.code == 0 and done.err == "" and "Commands:" in done.out


def test_the_help_lists_every_command_on_one_line(command: Command) -> None:
    lines = command("--help").out.splitlines()
    listed = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :]]
    assert listed == list(COMMANDS)


def test_a_wrong_option_names_the_help_of_its_own_command(command: Command) -> None:
    done = command("sites", "list", "--nope")
    assert done.code == 2 and done.errors[0].endswith("see `groundbreak sites list --help`")
    assert "did you mean" in command("detct").errors[0].lower()


@pytest.mark.parametrize("place", ["before", "after"])
def test_quiet_leaves_only_errors(command: Command, sites: Path, place: str) -> None:
    words = ["detect", "place", "--sites", sites]
    done = command(*(["-q", *words] if place == "before" else [*words, "-q"]))
    assert (done.code, done.out, done.err) == (0, "", "")
    assert command("detect", "plac", "--sites", sites, "-q").errors


def test_verbose_tells_why_scenes_were_rejected(command: Command, sites: Path) -> None:
    assert "scenes rejected: none" in command("-v", "detect", "place", "--sites", sites).err
    assert "scenes rejected" not in command("detect", "place", "--sites", sites).err


def test_a_settings_file_is_named_by_flag_or_environment(
    command: Command, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[correct]\nmin_clear_shar = 0.5\n")
    words = ("sites", "list", sites)
    assert command(*words).code == 0
    done = command(*words, "--config", other)
    assert done.code == 2 and "did you mean correct.min_clear_share" in done.errors[0]
    assert "no such file" in command(*words, "--config", tmp_path / "none.toml").errors[0]
    monkeypatch.setenv("GROUNDBREAK_CONFIG", str(other))
    assert "correct.min_clear_share" in command(*words).errors[0]


def test_secrets_come_from_a_file_and_the_environment_has_priority(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "groundbreak.env"
    file.write_text(
        "# secrets\nGROUNDBREAK_WEBHOOK_URL=https://example.org/hook?a=1&b=2\nGROUNDBREAK_PING_URL=https://a\n"
    )
    monkeypatch.setenv("GROUNDBREAK_PING_URL", "https://b")
    # set, so that it is restored after the test
    monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", "x")
    monkeypatch.delenv("GROUNDBREAK_WEBHOOK_URL")
    sites = world.write_sites(tmp_path / "s.geojson", [world.feature()])
    assert command("sites", "list", sites, "--env-file", file).code == 0
    assert os.environ["GROUNDBREAK_WEBHOOK_URL"] == "https://example.org/hook?a=1&b=2"
    assert os.environ["GROUNDBREAK_PING_URL"] == "https://b"
    assert "no such file" in command("sites", "list", "--env-file", tmp_path / "none").errors[0]


def test_a_terminal_without_unicode_shows_every_name(tmp_path: Path) -> None:
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(name="함흥 2·8")])
    for encoding in ("latin-1", "ascii"):
        done = program("sites", "list", file, PYTHONIOENCODING=encoding)
        assert done.returncode == 0 and b"\\ud568\\ud765 2" in done.stdout, done.stderr
    done = program("sites", "list", file, "--json", PYTHONIOENCODING="latin-1")
    assert json.loads(done.stdout)["sites"][0]["name"] == "함흥 2·8"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    features = [world.feature(id=f"place-{number}", name="x" * 60) for number in range(2000)]
    file = world.write_sites(tmp_path / "s.geojson", features)
    words = [sys.executable, "-m", "groundbreak", "sites", "list", str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as job:
        assert job.stdout is not None and job.stderr is not None
        job.stdout.read(10)
        job.stdout.close()
        assert job.wait(120) == 0 and job.stderr.read() == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script_and_completes_commands_and_options(shell: str) -> None:
    assert b"groundbreak" in program(_GROUNDBREAK_COMPLETE=f"source_{shell}").stdout

    def completed(line: str) -> bytes:
        words = line.split(" ")
        variables = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_TYPER_COMPLETE_ARGS": line}
        return program(
            _GROUNDBREAK_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_FISH_ACTION="get-args", **variables
        ).stdout

    found = completed("groundbreak de")
    assert b"detect" in found and b"demo" in found and b"pair" not in found
    assert b"--scheduler" in completed("groundbreak detect --sch")


def test_answers_for_scripts_are_one_json_document(command: Command, sites: Path, tmp_path: Path) -> None:
    listed = json.loads(command("sites", "list", sites, "--json").out)["sites"]
    assert [site["id"] for site in listed] == ["place"] and listed[0]["area_km2"] == pytest.approx(0.13, abs=0.01)
    scenes = json.loads(command("scenes", "place", "--sites", sites, "--json").out)["scenes"]
    assert len(scenes) == 10 and all(scene["used"] for scene in scenes)
    assert scenes[0]["time"] == "2020-04-01T09:30:00+00:00" and len(scenes[0]["shift"]) == 2
    (site,) = json.loads(command("detect", "place", "--sites", sites, "--json").out)["sites"]
    assert site["scenes_used"] == 10 and site["error"] is None
    assert [change["kind"] for change in site["changes"]] == ["new structure"]
    health = json.loads(command("doctor", "--json").out)["checks"]
    assert {"Python", "results", "sites"} <= {check["name"] for check in health}


def test_a_row_of_the_list_is_one_line_of_80_columns(command: Command, tmp_path: Path) -> None:
    features = [world.feature(id="a" * 30, name="A long name of a place " * 5), world.feature()]
    lines = command("sites", "list", world.write_sites(tmp_path / "s.geojson", features)).out.splitlines()
    rows = [line for line in lines if "45.1" in line]
    assert len(rows) == 2 and max(map(len, lines)) <= 80
    assert "a" * 30 in rows[0] and "A long name" in rows[0] and "A made-up place" in rows[1]


BLOCKED = ("fcntl", "grp", "pwd", "resource", "termios")
"""Modules that Windows does not have."""
WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {blocked}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocked())
import groundbreak
from pipeline.cli.main import run
assert all(getattr(groundbreak, name) for name in groundbreak.__all__)
run(sys.argv[1:])
"""


def test_nothing_needs_a_module_that_only_posix_has(sites: Path, tmp_path: Path) -> None:
    start = ("-c", WITHOUT.format(blocked=BLOCKED))
    for words in (["status"], ["detect", "--sites", sites, "--workers", "1"], ["export", "place", "--format", "csv"],
                  ["nightly", "--sites", sites, "--workers", "1"]):  # fmt: skip
        done = program(*words, cwd=tmp_path, start=start)
        assert done.returncode == (2 if words == ["status"] else 0), done.stderr.decode()
