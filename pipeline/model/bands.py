"""The bands of Sentinel-2's MSI and the sets that the methods use."""

from enum import StrEnum


class Band(StrEnum):
    """One spectral band; the value is its name in ESA's products."""

    B01 = "B01"
    B02 = "B02"
    B03 = "B03"
    B04 = "B04"
    B05 = "B05"
    B06 = "B06"
    B07 = "B07"
    B08 = "B08"
    B8A = "B8A"
    B09 = "B09"
    B10 = "B10"
    B11 = "B11"
    B12 = "B12"

    @property
    def centre_nm(self) -> int:
        """Central wavelength in nm (Sentinel-2 User Handbook, S2A)."""
        return _CENTRE_NM[self.value]

    @property
    def native_m(self) -> int:
        """Ground sampling distance in metres."""
        return _NATIVE_M[self.value]

    @property
    def role(self) -> str:
        """The common name, as STAC's eo extension spells it."""
        return _ROLE[self.value]


_CENTRE_NM = {
    "B01": 443, "B02": 490, "B03": 560, "B04": 665, "B05": 705, "B06": 740, "B07": 783,
    "B08": 842, "B8A": 865, "B09": 945, "B10": 1375, "B11": 1610, "B12": 2190,
}  # fmt: skip
_NATIVE_M = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20,
    "B08": 10, "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
_ROLE = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2",
    "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B10": "cirrus", "B11": "swir16", "B12": "swir22",
}  # fmt: skip

VISIBLE = (Band.B04, Band.B03, Band.B02)
"""Red, green, blue: the order in which pictures show them."""

ANALYSIS = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B8A, Band.B11, Band.B12)
"""What is asked of every scene; a site uses those of them that its archive has."""

ALIGNMENT = (Band.B04, Band.B03, Band.B08, Band.B02, Band.B8A)
"""Bands fit for registration, best first: sharp, and with much texture over built and bare ground."""
