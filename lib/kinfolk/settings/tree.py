"""The whole tree of settings, and how it is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kinfolk.errors import SettingsError
from kinfolk.settings.association import AssociationSettings, RecommendationSettings
from kinfolk.settings.cleaning import CleaningSettings
from kinfolk.settings.features import FeatureSettings, FeedSettings
from kinfolk.settings.ingest import IngestSettings, SourceSettings
from kinfolk.settings.learning import EmbeddingSettings, LearningSettings
from kinfolk.settings.report import ReportSettings
from kinfolk.settings.section import Section
from kinfolk.settings.sequence import SequenceSettings
from kinfolk.settings.similarity import MatchSettings, SimilaritySettings
from kinfolk.settings.storage import LakeSettings, LimitSettings, SparkSettings, TrackingSettings
from kinfolk.settings.utility import UtilitySettings


class Settings(Section):
    """Every option of kinfolk."""

    lake: LakeSettings = LakeSettings()
    """Where the tables lie."""
    sources: SourceSettings = SourceSettings()
    """What is read."""
    ingest: IngestSettings = IngestSettings()
    """How files become raw tables."""
    cleaning: CleaningSettings = CleaningSettings()
    """Rules that rows have to pass."""
    limits: LimitSettings = LimitSettings()
    """How much a job may lose before it stops."""
    features: FeatureSettings = FeatureSettings()
    """How items become tensors."""
    feed: FeedSettings = FeedSettings()
    """How a pinned table is read into training."""
    learning: LearningSettings = LearningSettings()
    """How the encoders are trained."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    """How items are embedded."""
    similarity: SimilaritySettings = SimilaritySettings()
    """What counts as similar."""
    matching: MatchSettings = MatchSettings()
    """What matches what of another kind."""
    association: AssociationSettings = AssociationSettings()
    """What counts as bought together."""
    sequence: SequenceSettings = SequenceSettings()
    """What counts as bought later."""
    recommendation: RecommendationSettings = RecommendationSettings()
    """What is recommended to whom."""
    utility: UtilitySettings = UtilitySettings()
    """What brings in the money."""
    report: ReportSettings = ReportSettings()
    """What the report shows."""
    tracking: TrackingSettings = TrackingSettings()
    """Where MLflow keeps runs and models."""
    spark: SparkSettings = SparkSettings()
    """What the session builder sets where nobody else did."""


def load_settings(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Read a YAML file, apply `section.field=value` overrides, and check everything.

    Values of overrides are read as YAML, so `a.b=[1, 2]` is a list. Raises SettingsError naming every wrong setting at
    once, with what is allowed.
    """
    values = _read_yaml(Path(path)) if path is not None else {}
    for override in overrides:
        _apply_override(values, override)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        where = f" in {path}" if path is not None else ""
        raise SettingsError(f"the settings{where} are not valid:\n" + _explain(error)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"the settings file {path} cannot be read: {error.strerror}; give --settings FILE"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"the settings file {path} holds a {type(values).__name__}; it has to hold sections")
    return values


def _apply_override(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    parts = name.strip().split(".")
    if not equals or len(parts) < 2:
        raise SettingsError(f"--set {override!r} is not of the form section.field=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {override!r}: the value is not YAML: {error}") from None
    place = values
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise SettingsError(f"--set {override!r}: {part} is a value, not a section")
    place[parts[-1]] = value


def _explain(error: ValidationError) -> str:
    """One line a problem; a misspelt name is answered with the nearest right ones."""
    return "\n".join(f"  {_explain_one(dict(problem))}" for problem in error.errors())


def _explain_one(problem: dict[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        known = _field_names(place[:-1])
        return f"{'.'.join(place)}: there is no such setting; {_suggest(place[-1], known)}"
    came = problem.get("input")
    shown = "" if isinstance(came, dict) else f" (came: {came!r})"
    return f"{'.'.join(place)}: {problem['msg']}{shown}"


def _field_names(place: list[str]) -> list[str]:
    """Names that are allowed at a place of the tree, such as ['sources', 'items', '0']."""
    section: type[Section] = Settings
    for part in place:
        if part.isdigit():
            continue
        found = section.model_fields.get(part)
        section = _section_of(found.annotation) if found else Section
    return sorted(section.model_fields)


def _section_of(annotation: Any) -> type[Section]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inner = [_section_of(argument) for argument in getattr(annotation, "__args__", ())]
    return next((section for section in inner if section.model_fields), Section)


def _suggest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"allowed: {', '.join(known)}"
