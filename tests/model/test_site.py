"""Ids of sites."""

from pipeline.model.site import slug


def test_a_slug_is_safe_as_a_folder_name() -> None:
    assert slug("../Ryŏngsŏng  <script>룡성/..") == "ryongsong-script"
