"""From arguments to a selection of sites: errors and remarks on AOI files are printed, settings are read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.catalogue.environment import check_certificates, check_proj
from pipeline.cli.console import print_error, print_note
from pipeline.cli.general import general
from pipeline.model.errors import SiteError, UsageError
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run import selection


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedSites:
    """The sites to work on and what was wrong with the AOI files they came from."""

    sites: tuple[Site, ...]
    settings: Settings
    errors: tuple[SiteError, ...]


def choose_sites(ids: Sequence[str], files: Sequence[Path]) -> SelectedSites:
    """Sites by id out of the AOI files, all of them if no id is given; errors of other features are kept.

    Raises UsageError for an id that no file holds, SiteError where nothing is left to work on.
    """
    check_proj()
    check_certificates()
    settings = read_settings()
    read = selection.read_aois(ids, files, settings)
    for remark in read.notes:
        print_note(remark)
    try:
        sites = selection.select_sites(ids, files, read)
    except UsageError:
        for error in read.errors[:1]:
            print_error(error)
        raise
    except SiteError:
        for error in read.errors[:-1]:
            print_error(error)
        raise
    return SelectedSites(sites=sites, settings=settings, errors=() if ids else read.errors)


def read_settings() -> Settings:
    """The file of --config or GROUNDBREAK_CONFIG, else groundbreak.toml of the working directory, else the defaults."""
    return selection.read_settings(general.config)
