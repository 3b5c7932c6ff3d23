"""Settings are typed, and a typo is answered with the nearest name."""

import pytest

from pipeline.model.errors import SettingsError
from pipeline.model.settings import Settings, override_settings, parse_settings, setting_names, settings_digest


def test_what_is_not_written_keeps_its_default() -> None:
    assert parse_settings("[decide]\nmin_history = 5\n").decide.min_area_m2 == Settings().decide.min_area_m2


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(SettingsError, match=r"did you mean decide\.min_history"):
        parse_settings("[decide]\nmin_histroy = 5\n")


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(SettingsError, match="did you mean decide"):
        parse_settings("[decid]\nmin_history = 5\n")


@pytest.mark.parametrize("text", ["[decide", "[decide]\nmin_history = 'many'", "[decide]\nmin_history = 1"])
def test_a_wrong_value_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    assert "\n" not in str(caught.value)


def test_an_override_changes_the_digest_and_nothing_else() -> None:
    base = Settings()
    changed = override_settings(base, {"decide.min_history": 9}, "site x")
    assert changed.decide.min_history == 9 and changed.search == base.search
    assert settings_digest(changed) != settings_digest(base)


def test_an_override_of_an_unknown_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="site x"):
        override_settings(Settings(), {"decide.nothing": 9}, "site x")


def test_an_override_of_a_whole_section_is_told_to_use_dots() -> None:
    with pytest.raises(SettingsError, match=r'decide is a section.*"decide\.') as caught:
        override_settings(Settings(), {"decide": {"min_history": 9}}, "site x")
    assert "did you mean" not in str(caught.value)


def _value(name: str) -> object:
    section, key = name.split(".")
    return Settings().model_dump()[section][key]


WHOLE = [name for name in setting_names() if type(_value(name)) is int]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_number_beyond_all_bounds_is_refused(name: str) -> None:
    """Python has whole numbers of any size; dates, counts and databases have not."""
    section, key = name.split(".")
    with pytest.raises(SettingsError, match=key):
        parse_settings(f"[{section}]\n{key} = {10**22}\n")
