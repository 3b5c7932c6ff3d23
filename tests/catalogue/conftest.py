from pathlib import Path

import numpy as np
import pytest

from pipeline.study.catalogue_writer import write_cog
from tests.catalogue.tiles import TILE10, TILE20, ramp


@pytest.fixture(scope="module")
def tile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bands and classes of a small tile."""
    folder = tmp_path_factory.mktemp("tile")
    write_cog(folder / "red.tif", ramp(TILE10, 1), TILE10)
    write_cog(folder / "swir.tif", ramp(TILE20, 2), TILE20)
    write_cog(folder / "scl.tif", np.full(TILE20.shape, 4, np.uint8), TILE20)
    return folder
