"""`kill -9` around the moment at which others are told: nothing is lost, and what comes twice has the same key."""

import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.faults.nights import Stage, evening, results
from tests.run.servers import Hook, webhook

RUN = "import sys; from pipeline.cli.main import run; run(sys.argv[1:])"


def night(stage: Stage, hook: Hook) -> subprocess.Popen[bytes]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), "GROUNDBREAK_WEBHOOK_URL": hook.url}
    words = [sys.executable, "-c", RUN, "nightly", "--sites", "sites.geojson", "--workers", "1"]
    with (stage.folder / "stderr.txt").open("w") as log:
        return subprocess.Popen(words, cwd=stage.folder, env=environment, stdout=subprocess.DEVNULL, stderr=log)


def events(hook: Hook) -> list[tuple[str, str]]:
    return [(alert["key"], alert["status"]) for body in hook.bodies for alert in body["alerts"]]


def fed(stage: Stage) -> list[str]:
    root = ET.parse(stage.folder / "out" / "feed.xml").getroot()
    return [each.text or "" for each in root.iter("{http://www.w3.org/2005/Atom}id")][1:]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return evening(tmp_path_factory.mktemp("evening"))


def test_a_kill_while_the_receiver_answers_repeats_that_message_alone(staged: Stage, tmp_path: Path) -> None:
    stage = staged.copy(tmp_path)
    (stage.folder / "out" / "feed.xml").unlink()
    with webhook() as hook:
        process = night(stage, hook)
        hook.called = lambda: os.kill(process.pid, signal.SIGKILL)
        assert process.wait(120) == -signal.SIGKILL
        hook.called = lambda: None
        assert len(hook.requests) == 1
        assert [night(stage, hook).wait(120) for _ in range(2)] == [4, 4]
        first, again = hook.bodies
        assert first == again
        assert sorted(fed(stage)) == sorted(key for key, _ in set(events(hook)))


def test_a_kill_between_publishing_and_telling_loses_no_news(staged: Stage, tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    stage, calm = staged.copy(tmp_path), staged.copy(tmp_path / "calm")
    for each in (stage, calm):
        (each.folder / "out" / "feed.xml").unlink()
    with webhook() as hook, webhook() as quiet:
        assert night(calm, quiet).wait(120) == 0
        process = night(stage, hook)
        published = (stage.folder / "out" / "place" / "report.html").stat().st_mtime_ns
        while process.poll() is None:
            if (stage.folder / "out" / "place" / "report.html").stat().st_mtime_ns != published:
                process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not hook.requests
        assert night(stage, hook).wait(120) in (0, 4)
        assert night(stage, hook).wait(120) == 4
        assert events(hook) == events(quiet) and len(events(hook)) == 1
        assert fed(stage) == fed(calm)
    assert results(stage.folder) == results(calm.folder)
