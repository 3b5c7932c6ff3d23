"""What is printed can be read on a terminal of 80 columns."""

import io

from rich.console import Console

from pipeline.cli.console import narrow


def test_a_site_of_thirty_letters_keeps_its_id_whole_beside_its_alerts() -> None:
    table = narrow("What was found", "site", "used", "alerts", "kinds", "s", numbers=("used", "s"))
    table.add_row("southern-carpathians-simulated", "44 of 45", "1 provisional\n5 withdrawn", "28 cleared ground", "21")
    text = io.StringIO()
    Console(file=text, width=80).print(table)
    assert "southern-carpathians-simulated  44 of 45  1 provisional  28 cleared ground  21" in text.getvalue()
