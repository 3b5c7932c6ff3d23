"""Faults tried on whole nights, and survived: the tests of `make faults`, counted.

python -m benchmarks.errors     real servers, real kills, a small disk; some ten minutes
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HUNDRED = "test_a_hundred_kills_leave_nothing_behind"
FAULTS = {
    "test_a_scene_that_cannot_be_read_is_named_and_made_good":
        "a scene's files answer 503, 429, 403, 404, cut or zeroed bodies, a page, a redirect, nothing",
    "test_three_requests_in_ten_may_fail": "503 for three requests in ten",
    "test_a_signature_that_expires_in_the_night_is_asked_for_again": "signed addresses expire in mid-night",
    "test_a_search_that_breaks_off_changes_nothing": "the API breaks off on its second page: cut, 503, a page, nothing",
    "test_an_api_that_cannot_be_reached_changes_nothing": "nobody listens; the name has no address",
    "test_a_chip_that_rotted_is_read_again": "chips that rotted, one that is no file",
    HUNDRED: "kill -9 at random moments",
    "test_a_kill_while_the_receiver_answers_repeats_that_message_alone": "kill -9 while others are told",
    "test_a_kill_between_publishing_and_telling_loses_no_news": "kill -9 between publishing and telling",
    "test_a_full_disk_harms_nothing_and_is_told": "disk full, from nothing left to 1 MB",
    "test_an_output_that_may_not_be_written_stays_as_it_was": "an output that may not be written",
    "test_a_review_file_that_somebody_holds_waits_for_the_next_night": "a review file that somebody holds",
    "test_a_ledger_that_rotted_is_built_again": "a ledger that rotted",
    "test_a_clock_set_back_is_refused_and_harms_nothing": "a clock set back",
    "test_the_night_after_a_damage_is_as_undisturbed":
        "results removed, moved away, cut, or rewritten by another program between two nights",
    "test_process_one_of_a_container_that_was_killed_leaves_nothing_behind": "kill -9 of process 1 of a container",
    "test_a_server_that_never_answers_delays_no_other_site": "a catalogue that never answers, beside a healthy one",
    "test_a_run_over_a_past_period_leaves_the_results": "`detect` over a past period on shared results",
    "test_an_aoi_that_moves_away_and_back_leaves_the_results": "an AOI moved into another zone and back",
    "test_a_command_pointed_at_a_file_of_the_results_leaves_it": "an output path that is a file of the results",
    "test_a_row_with_an_id_of_the_analysts_own_stays_and_disturbs_no_other": "a row of the analyst with its own id",
    "test_a_clock_once_ahead_stops_no_copies": "a clock once 30 years ahead",
    "test_six_sites_added_at_once_are_all_watched": "six sites added at once",
    "test_results_brought_from_another_machine_without_the_ledger_keep_ids_and_verdicts": "ledger and caches lost",
}  # fmt: skip


def main() -> str:
    """A markdown section. Raises RuntimeError where a test is there that the table does not know, or the other way."""
    with tempfile.TemporaryDirectory() as scratch:
        said = Path(scratch) / "said.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "faults", "tests/faults", "--deselect",
                   "tests/faults/test_replay.py", f"--junitxml={said}"]  # fmt: skip
        subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        cases = list(ET.parse(said).getroot().iter("testcase"))
    tried, survived = Counter[str](), Counter[str]()
    for case in cases:
        name = str(case.get("name")).partition("[")[0]
        times = 100 if name == HUNDRED else 1
        if case.find("skipped") is None:
            tried[name] += times
            survived[name] += times * (case.find("failure") is None and case.find("error") is None)
    if set(tried) != set(FAULTS):
        raise RuntimeError(f"known in one place only: {set(tried) ^ set(FAULTS)}")
    rows = [f"| {words} | {tried[name]} | {survived[name]} |" for name, words in FAULTS.items()]
    return "\n".join([
        "## Faults",
        "",
        "`benchmarks/faults.py`: whole nights over real servers on this machine. Survived: no verdict lost, no alert",
        "twice, no scene silently skipped, the fault said in a line, and the next undisturbed night gives exactly the",
        "files that a night without the fault gives.",
        "",
        "| fault | tried | survived |",
        "|---|---|---|",
        *rows,
        f"| all | {sum(tried.values())} | {sum(survived.values())} |",
    ])  # fmt: skip


if __name__ == "__main__":
    print(main())
