"""What counts as similar."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinfolk.settings.learning import Modality
from kinfolk.settings.section import Section


class JoinSettings(Section):
    """What counts as similar."""

    modality: Modality = "image"
    """Which embeddings are joined."""
    threshold: Annotated[float, Field(gt=-1, le=1)] = 0.9
    """Least cosine of a similar pair."""
    neighbors: Annotated[int, Field(ge=0, le=10_000)] = 10
    """Nearest neighbours kept of each item; 0 for none."""
    block_rows: Annotated[int, Field(ge=1, le=1 << 16)] = 2048
    """Rows of one block of the exact product; a task holds about 25 bytes for each entry of a block squared."""
    one_task_rows: Annotated[int, Field(ge=0)] = 50_000
    """Most distinct items that a single task joins; above, the work is spread over the cluster."""
    max_pairs: Annotated[int, Field(ge=1)] = 50_000_000
    """Most pairs above the threshold; more stop the job before it writes anything."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads that each Spark task computes with."""
