"""The looks of a site as an xarray dataset, through the result cache of `detect`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.errors import DecisionError, UsageError
from pipeline.model.progress import Progress
from pipeline.review.stack import INSTALL, looks_dataset
from pipeline.run.process_site import SiteJob, SiteLooks, build_looks
from pipeline.run.result_cache import read_packed
from pipeline.run.selection import require_whole

if TYPE_CHECKING:
    import xarray

Chunks = Mapping[str, int]


def open_stack(job: SiteJob, step: Progress, chunks: Chunks | None = None) -> "xarray.Dataset":
    """The corrected looks of a site.

    chunks: sizes by dimension; then reflectance is a Dask array whose looks are read from the cache when they are
            needed. None = all in memory.
    Raises UsageError for a site that is processed in cells, DecisionError where no look can be used.
    """
    require_whole(job.site)
    built = build_looks(job, step)
    provenance = {
        "catalogue": job.source,
        "collection": job.collection or job.settings.search.collection,
        "warnings": "\n".join(str(error) for error in built.errors),
    }
    lazy = None if chunks is None else _lazy_reflectance(built)
    dataset = looks_dataset(built.site, built.looks, built.records, job.settings, provenance, lazy)
    return dataset if chunks is None else dataset.chunk(dict(chunks))


def _lazy_reflectance(built: SiteLooks) -> Any:
    """Reflectance as one Dask task a look; in memory where the cache has no room for the looks."""
    try:
        import dask.array
        from dask.delayed import delayed
    except ImportError as error:
        raise UsageError("dask is not installed", "chunks", INSTALL) from error
    array: Any = dask.array
    if built.memory.root is None or built.memory.error:
        return array.from_array(np.stack([look.reflectance for look in built.looks]), (1, -1, -1, -1))
    read = delayed(_read_reflectance, pure=True)
    planes: Sequence[Any] = [
        array.from_delayed(read(built.memory.root, name, look.scene.id), look.reflectance.shape, np.float32)
        for look, name in zip(built.looks, built.stored, strict=True)
    ]
    return array.stack(planes)


def _read_reflectance(root: Path, name: str, scene: str) -> NDArray[np.float32]:
    """The reflectance of one look. Raises DecisionError where a later run has removed it from the cache."""
    packed = read_packed(root, name)
    if packed is None:
        raise DecisionError("a look is no longer in the cache", scene, "open the stack again")
    return np.asarray(packed.arrays["reflectance"], np.float32)
