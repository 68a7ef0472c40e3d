from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfolk.errors import SettingsError
from kinfolk.settings import Settings, load_settings


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("similarity: {threshold: 0.7, neighbors: 3}\n")
    settings = load_settings(file, ["similarity.threshold=0.8"])
    assert (settings.similarity.threshold, settings.similarity.neighbors) == (0.8, 3)
    assert settings.similarity.block_rows == Settings().similarity.block_rows


def test_every_wrong_setting_is_named_at_once_with_the_nearest_right_name() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides=["similarity.treshold=0.8", "learning.epochs=0", "nosuch.thing=1"])
    message = str(caught.value)
    assert "similarity.treshold" in message
    assert "did you mean threshold?" in message
    assert "learning.epochs" in message
    assert "greater than or equal to 1" in message
    assert "nosuch" in message


def test_a_misspelt_column_of_a_source_is_named_with_its_place() -> None:
    with pytest.raises(SettingsError, match=r"sources\.items\.0\.txt.*did you mean text\?"):
        load_settings(overrides=["sources.items=[{name: shop, path: x.csv, id: sku, txt: title}]"])


@pytest.mark.parametrize("override", ["similarity", "similarity=1", "similarity.threshold"])
def test_an_override_of_the_wrong_form_is_explained(override: str) -> None:
    with pytest.raises(SettingsError, match=r"section\.field=value|section"):
        load_settings(overrides=[override])


@pytest.mark.parametrize(("text", "words"), [("a: [", "not YAML"), ("- 1\n", "has to hold sections")])
def test_a_broken_file_is_explained(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        load_settings(file)


def test_a_missing_file_is_explained() -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings("nowhere.yaml")


def test_paths_take_the_home_folder_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("BUCKET", "s3a://b")
    assert load_settings(overrides=["lake.root=~/lake"]).lake.root == "/home/ada/lake"
    assert load_settings(overrides=["lake.root=${BUCKET}/lake"]).lake.root == "s3a://b/lake"
    assert load_settings(overrides=["lake.root=${NOT_SET:-here}/lake"]).lake.root == "here/lake"
    with pytest.raises(SettingsError, match="NOT_SET"):
        load_settings(overrides=["lake.root=${NOT_SET}/lake"])


def test_sources_of_one_name_are_refused() -> None:
    source = "{name: shop, path: x.csv, id: sku, text: title}"
    with pytest.raises(SettingsError, match="shop"):
        load_settings(overrides=[f"sources.items=[{source}, {source}]"])


@given(st.floats(min_value=-0.99, max_value=1))
def test_settings_survive_a_round_trip(threshold: float) -> None:
    settings = Settings.model_validate({"similarity": {"threshold": threshold}})
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings
