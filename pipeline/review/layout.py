"""Paths in out/: pages, state of the runs, and the folder of each site."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.review.folder import GPKG, Folder

INDEX, FEED = "index.html", "feed.xml"
STATE = ".groundbreak"
"""Folder of what a later run can compute again, except the backups of review files."""


@dataclass(frozen=True, slots=True)
class Results:
    """A folder of results, by default out/."""

    path: Path

    def site(self, site: str) -> Folder:
        """The results of a site, by its id."""
        return Folder(self.path / site)

    def sites(self) -> Iterator[Folder]:
        """Every folder with a review file, by name."""
        return (Folder(path.parent) for path in sorted(self.path.glob(f"*/{GPKG}")))

    @property
    def index(self) -> Path:
        """The page over all sites."""
        return self.path / INDEX

    @property
    def feed(self) -> Path:
        """The Atom feed over all sites."""
        return self.path / FEED

    @property
    def metrics(self) -> Path:
        """Metrics of the last night, in the text format of Prometheus."""
        return self.path / "groundbreak.prom"

    @property
    def state(self) -> Path:
        """Folder of the state of the runs."""
        return self.path / STATE

    @property
    def lock(self) -> Path:
        """Lock file of the run that writes this folder."""
        return self.state / "lock"

    @property
    def ledger(self) -> Path:
        """State of the nightly job."""
        return self.state / "ledger.sqlite"

    @property
    def chips(self) -> Path:
        """Chips of remote catalogues."""
        return self.state / "chips"

    @property
    def caches(self) -> Path:
        """The result caches of all sites, a folder each."""
        return self.state / "memory"

    def cache(self, site: str) -> Path:
        """The result cache of a site."""
        return self.caches / site

    def backups(self, site: str) -> Path:
        """Copies of the review file of a site."""
        return self.state / "backups" / site
