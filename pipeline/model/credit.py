"""Whose data the pixels are, and under which terms."""

ATTRIBUTION = "Contains modified Copernicus Sentinel data"
"""The credit that the legal notice asks for, where an AOI file gives no longer one."""
LEGAL_NOTICE = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
"""Terms of use of Sentinel data: free, full and open access, with attribution."""
