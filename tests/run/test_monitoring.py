"""The alert rules and the dashboard: what Prometheus understands, over series that every night writes."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.run.metrics import write_metrics
from pipeline.run.notifications import Notified

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES, BOARD = DEPLOY / "alerts.yml", DEPLOY / "grafana.json"
CASES = """
rule_files: [{rules}]
evaluation_interval: 1h
tests:
  - interval: 1h
    input_series:
      - {{series: groundbreak_last_run_timestamp_seconds, values: '0+0x100'}}
      - {{series: groundbreak_last_success_timestamp_seconds, values: '0+0x100'}}
      - {{series: 'groundbreak_site_consecutive_failures{{site="a"}}', values: '7+0x100'}}
      - {{series: 'groundbreak_site_consecutive_failures{{site="b"}}', values: '6+0x100'}}
      - {{series: groundbreak_untold_messages, values: '1+0x100'}}
    alert_rule_test:
      - {{eval_time: 30h, alertname: GroundbreakNightMissed, exp_alerts: []}}
      - eval_time: 40h
        alertname: GroundbreakNightMissed
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations:
              summary: no night has ended for 1d 16h 0m 0s
              description: "See `systemctl status groundbreak.timer` and `journalctl --unit=groundbreak.service`."
      - {{eval_time: 40h, alertname: GroundbreakManySitesFail, exp_alerts: []}}
      - eval_time: 40h
        alertname: GroundbreakSiteFails
        exp_alerts:
          - exp_labels: {{severity: warning, site: a}}
            exp_annotations:
              summary: a has failed 7 nights in a row
              description: "`groundbreak status` has the reason."
      - {{eval_time: 40h, alertname: GroundbreakNoMetrics, exp_alerts: []}}
  - interval: 1h
    input_series: []
    alert_rule_test:
      - eval_time: 2h
        alertname: GroundbreakNoMetrics
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations:
              summary: no metrics of groundbreak
              description: out/groundbreak.prom is missing, or the node exporter does not read it.
"""


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing; under CI it must be there")
        pytest.skip("this machine has no promtool")
    return found


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queries() -> list[str]:
    return [target["expr"] for panel in board()["panels"] for target in panel["targets"]]


def board() -> dict[str, Any]:
    return json.loads(BOARD.read_text())  # type: ignore[no-any-return]


@pytest.fixture
def metrics(tmp_path: Path) -> str:
    """What a night writes in which the only site could not even be searched for."""
    told = Notified(alerts=Counter(), errors=())
    write_metrics(tmp_path, (), ("place",), told, datetime(2024, 3, 1, tzinfo=UTC), 1.0, went_well=False)
    return (tmp_path / "groundbreak.prom").read_text()


def test_the_rules_fire_when_they_should(promtool: str, tmp_path: Path) -> None:
    run(promtool, "check", "rules", RULES)
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.format(rules=RULES))
    run(promtool, "test", "rules", cases)


def test_every_query_of_the_dashboard_is_promql(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    run(promtool, "check", "rules", file)


def test_the_metrics_file_is_what_prometheus_reads(promtool: str, metrics: str) -> None:
    done = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rules_and_dashboard_use_series_and_labels_that_a_night_writes(metrics: str) -> None:
    written = set(re.findall(r"^(groundbreak_\w+)", metrics, re.MULTILINE))
    for text in (RULES.read_text(), *queries()):
        assert set(re.findall(r"groundbreak_\w+(?=[^.]|$)", text)) - {"groundbreak_prom"} <= written
    for name, label in re.findall(r"(groundbreak_\w+)\{(\w+)=", " ".join(queries())):
        assert f"{name}{{" in metrics and f"{label}=" in metrics


def test_panels_of_the_dashboard_do_not_overlap_and_have_a_source() -> None:
    taken = set()
    for panel in board()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${DS_PROMETHEUS}" and panel["title"]
    assert [each["name"] for each in board()["__inputs"]] == ["DS_PROMETHEUS"]
