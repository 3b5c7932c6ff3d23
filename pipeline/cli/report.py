"""`groundbreak report`: the pages again, with the verdicts given since."""

from difflib import get_close_matches
from pathlib import Path

import typer

from pipeline.cli.console import print_error, print_summary
from pipeline.model.errors import Exit, GroundbreakError, UsageError
from pipeline.review.folder import Folder
from pipeline.review.index import write_index
from pipeline.review.layout import Results
from pipeline.review.report import write_report


def report(
    site: list[str] = typer.Argument(..., help="ids of sites with results"),
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
) -> int:
    r"""Write report.html of a site again from its review file, with the latest verdicts.

    \b
    groundbreak report february-11-plant
    """
    errors: list[GroundbreakError] = []
    for name in dict.fromkeys(site):
        try:
            write_report(site_folder(folder, name))
            print_summary(str(Results(folder).site(name).report))
        except GroundbreakError as error:
            print_error(error)
            errors.append(error)
    if folder.is_dir():
        write_index(folder)
    if errors and len(errors) == len(set(site)):
        return int(errors[0].exit_code)
    return Exit.SOME_FAILED if errors else Exit.DONE


def site_folder(out_folder: Path, name: str) -> Folder:
    """The results of a site; raises UsageError where there are none."""
    found = Results(out_folder).site(name)
    if not found.gpkg.is_file():
        known = [each.path.name for each in Results(out_folder).sites()]
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        fix = f"did you mean {near[0]}?" if near else f"run `groundbreak detect {name}` first, or name --out"
        raise UsageError("no results", str(found.path), fix)
    return found
