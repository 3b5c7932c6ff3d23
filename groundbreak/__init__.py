"""groundbreak from Python: co-registered, masked looks as xarray, changes as GeoDataFrames.

    import groundbreak

    looks = groundbreak.open_stack("february-11-plant", start="2023-01-01")   # xarray.Dataset
    changes = groundbreak.detect("february-11-plant", start="2023-01-01")     # geopandas.GeoDataFrame

`docs/python.md` explains each function with an example. A name is imported when it is used first, so that
`import groundbreak` loads neither NumPy nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from groundbreak.api import changes, detect, open_stack, phases, register, settings, sites
    from pipeline.model.errors import GroundbreakError
    from pipeline.model.imagery import Alignment
    from pipeline.model.settings import Settings

    __version__: str

__all__ = [
    "Alignment",
    "GroundbreakError",
    "Settings",
    "__version__",
    "changes",
    "detect",
    "open_stack",
    "phases",
    "register",
    "settings",
    "sites",
]
_HOME = {
    "Alignment": "pipeline.model.imagery",
    "GroundbreakError": "pipeline.model.errors",
    "Settings": "pipeline.model.settings",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'groundbreak' has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("groundbreak")
    else:
        value = getattr(import_module(_HOME.get(name, "groundbreak.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
