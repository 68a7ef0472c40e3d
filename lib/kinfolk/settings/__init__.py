"""Every option, a module a domain: typed, ranged, documented beside its default."""

from kinfolk.settings.association import AssociationSettings, RecommendationSettings
from kinfolk.settings.cleaning import CleaningSettings
from kinfolk.settings.features import FeatureSettings, FeedSettings, Mixing, Remainder
from kinfolk.settings.ingest import EventSource, FileSource, IngestSettings, ItemSource, SourceSettings
from kinfolk.settings.learning import EmbeddingSettings, LearningSettings, Modality
from kinfolk.settings.report import ReportSettings
from kinfolk.settings.section import Section
from kinfolk.settings.sequence import SequenceSettings
from kinfolk.settings.similarity import (
    GroupSettings,
    JoinPlan,
    JoinSettings,
    MatchSettings,
    Measure,
    SetMeasure,
    SideSettings,
    SimilaritySettings,
    TokenSettings,
    VectorMeasure,
)
from kinfolk.settings.storage import LakeSettings, LimitSettings, SparkSettings, TrackingSettings
from kinfolk.settings.tree import Settings, load_settings
from kinfolk.settings.utility import UtilitySettings

__all__ = [
    "AssociationSettings",
    "CleaningSettings",
    "EmbeddingSettings",
    "EventSource",
    "FeatureSettings",
    "FeedSettings",
    "FileSource",
    "GroupSettings",
    "IngestSettings",
    "ItemSource",
    "JoinPlan",
    "JoinSettings",
    "LakeSettings",
    "LearningSettings",
    "LimitSettings",
    "MatchSettings",
    "Measure",
    "Mixing",
    "Modality",
    "RecommendationSettings",
    "Remainder",
    "ReportSettings",
    "Section",
    "SequenceSettings",
    "SetMeasure",
    "Settings",
    "SideSettings",
    "SimilaritySettings",
    "SourceSettings",
    "SparkSettings",
    "TokenSettings",
    "TrackingSettings",
    "UtilitySettings",
    "VectorMeasure",
    "load_settings",
]
