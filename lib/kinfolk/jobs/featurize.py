"""Make tensors of the clean items: pictures of one size, texts as token ids, and a split by what the item shows.

The vocabulary is fitted on the training split, and written before the items that use it: after a kill between the two
the next run writes the items. An item without a picture and without a known word is turned away, since nothing could be
learnt or said of it.
"""

from __future__ import annotations

from kinfolk.features.items import featurize_items, fit_item_vocabulary
from kinfolk.run import Job, Run
from kinfolk.tables.catalog import CLEAN_ITEMS, ITEM_FEATURES, TEXT_VOCABULARY


def featurize(run: Run) -> None:
    """Write the vocabulary, then the items."""
    settings = run.settings.features
    items = run.read(CLEAN_ITEMS)
    vocabulary = fit_item_vocabulary(items, settings)
    run.commit(
        run.stage(TEXT_VOCABULARY, run.frame(vocabulary.to_arrow())),
        run.stage(ITEM_FEATURES, featurize_items(items, vocabulary, settings), origin=CLEAN_ITEMS),
    )


JOB = Job(
    "featurize",
    featurize,
    reads=(CLEAN_ITEMS,),
    writes=(TEXT_VOCABULARY, ITEM_FEATURES),
    sections=("features",),
    needs=("sources.items",),
)
