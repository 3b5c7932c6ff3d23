"""The units are what systemd understands, and run the command as it is."""

import os
import re
import shutil
import subprocess
from dataclasses import astuple
from pathlib import Path

import pytest
from typer.main import get_command

from pipeline.cli.main import app
from pipeline.notify.channels import read_secrets

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_systemd_finds_no_error_in_the_units(tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is missing; under CI it must be there")
        pytest.skip("this machine has no systemd-analyze")
    for path in DEPLOY.glob("groundbreak*"):
        text = path.read_text().replace("/opt/groundbreak/.venv/bin/groundbreak", "/bin/true")
        (tmp_path / path.name).write_text(text.replace("=groundbreak\n", "=root\n"))
    (tmp_path / "groundbreak-failed@.service").rename(tmp_path / "groundbreak-failed@x.service")
    units = [tmp_path / name for name in ("groundbreak.service", "groundbreak.timer", "groundbreak-failed@x.service")]
    done = subprocess.run([analyse, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["groundbreak.service", "crontab", "Containerfile"])
def test_what_is_run_is_a_command_with_options_it_has(name: str) -> None:
    lines = (DEPLOY / name).read_text().replace('", "', " ").splitlines()
    (asked,) = (line.partition("nightly")[2] for line in lines if "nightly" in line and "--sites" in line)
    known = {option for each in get_command(app).commands["nightly"].params for option in each.opts}  # type: ignore[attr-defined]
    named = set(re.findall(r"--[a-z]+", asked))
    assert {"--sites", "--out"} <= named <= known


def test_the_page_on_installing_names_every_file_there_is() -> None:
    text = (DEPLOY.parent / "docs" / "deploy.md").read_text()
    for path in DEPLOY.iterdir():
        assert f"deploy/{path.name}" in text, path.name


def test_every_secret_the_unit_speaks_of_is_one_the_program_reads() -> None:
    text = (DEPLOY / "groundbreak.service").read_text()
    named = set(re.findall(r"GROUNDBREAK_\w+", text))
    given = {name: f"https://example.org/{name}" for name in named}
    assert named and set(given.values()) == {value for value in astuple(read_secrets(given)) if value}
