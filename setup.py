"""The packages; everything else about the distribution is in pyproject.toml.

The AOI files and the embedded archive are data of the public package, so that `groundbreak demo` needs no checkout.
They stay in `aois/`, and pyproject.toml cannot add one mapped folder to packages that are found.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["groundbreak*", "pipeline*"]), "groundbreak.aois"],
    package_dir={"groundbreak.aois": "aois"},
)
