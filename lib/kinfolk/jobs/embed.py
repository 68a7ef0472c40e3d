"""Embed the pictures and texts of every item with the promoted encoder.

The table follows item_features in full: what changed is embedded anew, rows whose item or picture is gone disappear. An
encoder that was trained with another vocabulary than item_features has now is refused as long as texts are embedded.
"""

from __future__ import annotations

from kinfolk.embedding.inference import check_vocabulary, count_embeddable, embed_items, read_encoder
from kinfolk.run import Job, Run
from kinfolk.tables.catalog import ITEM_EMBEDDINGS, ITEM_FEATURES, TEXT_VOCABULARY


def embed(run: Run) -> None:
    """Write one vector for each item and modality."""
    settings, model, features = run.settings.embedding, run.model("encoder"), run.read(ITEM_FEATURES)
    encoder = read_encoder(model.directory, name=model.name, version=model.version)
    if "text" in settings.modalities:
        check_vocabulary(run.read(TEXT_VOCABULARY), encoder)
    run.note(f"  {encoder.name} version {encoder.version}, {encoder.shape.embedding_size} coordinates")
    source_version = run.snapshot(ITEM_FEATURES).version
    embedded = embed_items(features, encoder, source_version=source_version, settings=settings)
    run.sync(ITEM_EMBEDDINGS, embedded, rows_in=count_embeddable(features, settings))


JOB = Job(
    "embed",
    embed,
    reads=(ITEM_FEATURES, TEXT_VOCABULARY),
    models=("encoder",),
    writes=(ITEM_EMBEDDINGS,),
    sections=("embedding",),
    needs=("sources.items",),
)
