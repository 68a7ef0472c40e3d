"""What counts as similar, and how hard it is looked for."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from kinfolk.settings.learning import Modality
from kinfolk.settings.section import Name, Section, Size

VectorMeasure = Literal["cosine", "euclidean", "inner_product"]
SetMeasure = Literal["jaccard", "containment", "overlap"]
Measure = VectorMeasure | SetMeasure
JoinPlan = Literal["auto", "exact", "cells", "signs", "prefix", "minhash"]


class TokenSettings(Section):
    """How a text becomes the set that is compared; lists are taken as the sets they are."""

    unit: Literal["words", "characters"] = "words"
    """What a text is cut into: words are runs of letters and digits, in lower case; characters are taken as they are,
    in lower case, each run of white space as one blank."""
    length: Annotated[int, Field(ge=1, le=32)] = 3
    """Units in a row that make one token; a text with fewer is one token."""


class GroupSettings(Section):
    """When connected items are one group."""

    max_hops: Annotated[int, Field(ge=1)] = 6
    """Most pairs on the shortest way between any two members; a group that needs more is cut at its weakest links."""
    max_items: Annotated[int, Field(ge=2)] = 100_000
    """Most members, copies included, of a group; a larger one is cut at its weakest links. Copies of one item always
    stay together, however many they are."""
    one_task_edges: Annotated[int, Field(ge=0)] = 10_000_000
    """Most pairs and copies that a single task groups, with some 250 bytes of memory each; above, groups are found by
    rounds over the cluster, and each is measured in one of many tasks."""


class JoinSettings(Section):
    """What counts as similar, and how hard it is looked for.

    `section` is what messages call these settings.
    """

    section: ClassVar[str] = "similarity"

    measure: Measure = "cosine"
    """How alike two items are: cosine, inner_product or euclidean of vectors; jaccard (common tokens over all),
    containment (common tokens over those of the smaller set) or overlap (number of common tokens) of sets. Under
    euclidean a similarity is minus the distance, so that more is always more alike."""
    threshold: float | None = 0.9
    """Least similarity of a similar pair, for euclidean the greatest distance; null for no pairs."""
    neighbors: Annotated[int, Field(ge=0, le=1000)] = 10
    """Nearest neighbours kept of each item; 0 for none."""
    recall: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the true pairs and neighbours, averaged over items, that has to be found; 1 finds all."""
    plan: JoinPlan = "auto"
    """How the join is computed; auto takes the fastest that reaches the recall."""
    blocking: Annotated[str, Field(min_length=1)] | None = None
    """Column by which items are told apart: only items of an equal value there are compared, and can be copies; those
    without a value are rejected. In the job a column of clean_items. Null compares all items."""
    probes: Annotated[int, Field(ge=10, le=100_000)] = 2000
    """Items, drawn at random, that are joined exactly to measure the recall where it may be below 1."""
    tokens: TokenSettings = TokenSettings()
    """How texts become sets."""
    block_rows: Annotated[int, Field(ge=1, le=1 << 16)] = 1024
    """Rows of one block of a product."""
    one_task_rows: Annotated[int, Field(ge=0)] | None = None
    """Most items that a single task joins; above, the work is spread over the cluster. Null for 200,000, and for any
    number where one machine does all the work: a task there takes all its cores."""
    max_pairs: Annotated[int, Field(ge=1)] = 50_000_000
    """Most pairs above the threshold; more stop the job before it writes anything, and before it begins where a sample
    of the items leaves no doubt."""
    max_memory: Size | None = None
    """Most memory of the process that joins, such as 8 GB; a join that would certainly need more stops before it
    begins. Null for what is free on its machine, less a tenth."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads that a Spark task computes with; 0 for as many as Spark gives a task cores (spark.task.cpus), and all
    cores where one machine does all the work in one task."""
    seed: int = 0
    """Start of everything that is drawn at random: probes, centroids, hash functions."""

    @property
    def compares_vectors(self) -> bool:
        """Whether the measure compares vectors; otherwise it compares sets."""
        return self.measure in get_args(VectorMeasure)


class SimilaritySettings(JoinSettings):
    """What counts as similar among items of one kind, and how hard it is looked for."""

    modality: Modality = "image"
    """Which embeddings are joined."""
    groups: GroupSettings = GroupSettings()
    """When connected items are one group."""


class SideSettings(Section):
    """One side of a match: which items, and what of them."""

    modality: Modality = "image"
    """Which of their embeddings are compared; under a measure of sets it is their texts."""
    sources: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Names of the sources whose items are on this side; null for all items."""


class MatchSettings(JoinSettings):
    """Which items of one side resemble which of the other: a text's pictures, a catalogue's items in another one."""

    section: ClassVar[str] = "matching"

    left: SideSettings | None = None
    """The items that others are looked for; null for none, which leaves the match job out."""
    right: SideSettings | None = None
    """The items among which they are looked for."""
    threshold: float | None = None
    """Least similarity of a matched pair, for euclidean the greatest distance; null for no pairs."""
