"""Tables of items: things with a text, a picture or a sound."""

from kinfolk.tables.contract import Column, Table

RUN_COLUMNS = (
    Column("run_id", "string", "the run that last changed the row", role="provenance"),
    Column("updated_at", "timestamp", "when the row last changed", role="provenance"),
)

_ITEM = (
    Column("item_id", "string", "id of the item, unique over all sources"),
    Column("subject_id", "string", "what the item shows; items of one subject stay on one side of the split"),
    Column(
        "variant", "string", "which variant of the subject, such as a skin tone; null for the plain one", nullable=True
    ),
    Column("label", "string", "class of the item; relevant for mean average precision", nullable=True),
)

RAW_ITEMS = Table(
    name="raw_items",
    meaning="Items as their files say, a row for each row of each file; mirrors the files named in the settings.",
    columns=(
        Column("source", "string", "name of the source in the settings"),
        Column("file", "string", "path of the file below the source's folder"),
        Column("row", "bigint", "row in that file, from 0"),
        Column("item_id", "string", "id of the item as the file has it", nullable=True),
        Column(
            "subject_id", "string", "what the item shows; the item's own id where no column names it", nullable=True
        ),
        Column("variant", "string", "variant of the subject; null for the plain one", nullable=True),
        Column("label", "string", "class of the item", nullable=True),
        Column("text", "string", "text of the item", nullable=True),
        Column("image_file", "string", "picture file named by the row", nullable=True),
        Column("audio_file", "string", "sound file named by the row", nullable=True),
        Column("image_problem", "string", "why the picture file named was not read; null where it was", nullable=True),
        Column("audio_problem", "string", "why the sound file named was not read; null where it was", nullable=True),
        Column(
            "image",
            "binary",
            "content of the picture file; null where none was named or it could not be read",
            nullable=True,
        ),
        Column(
            "audio",
            "binary",
            "content of the sound file; null where none was named or it could not be read",
            nullable=True,
        ),
        *RUN_COLUMNS,
    ),
    key=("source", "file", "row"),
)

CLEAN_ITEMS = Table(
    name="clean_items",
    meaning="Items that passed every row rule and set rule.",
    columns=(
        *_ITEM,
        Column("source", "string", "name of the source in the settings"),
        Column("text", "string", "text, trimmed, Unicode NFC; null where the item has none", nullable=True),
        Column("image", "binary", "content of the picture file; null where the item has none", nullable=True),
        Column("audio", "binary", "content of the sound file; null where the item has none", nullable=True),
        *RUN_COLUMNS,
    ),
    key=("item_id",),
    sort_by=("item_id",),
)

TEXT_VOCABULARY = Table(
    name="text_vocabulary",
    meaning="Tokens of item texts with their ids, fitted on the training split.",
    columns=(
        Column("token", "string", "word:<a word>, or gram:<3 or 4 characters of one>, its ends marked by < and >"),
        Column("token_id", "int", "id of the token, from 1; 0 stands for padding"),
        Column("item_count", "bigint", "training items whose text has the token"),
        *RUN_COLUMNS,
    ),
    key=("token",),
    checks={"positive_token_id": "token_id >= 1"},
    sort_by=("token_id",),
    guards_rows=False,
)

ITEM_FEATURES = Table(
    name="item_features",
    meaning="Items as tensors: pictures of one size, texts as token ids, and the split each belongs to.",
    columns=(
        *_ITEM,
        Column("source", "string", "name of the source in the settings"),
        Column("split", "string", "train or held_out, decided by a hash of subject_id"),
        Column(
            "image",
            "binary",
            "height x width x 3 bytes, rows first, RGB 0-255; null where the item has no picture",
            nullable=True,
        ),
        Column(
            "text_tokens",
            "array<int>",
            "token ids of words in order, then of their pieces; empty where none is known; null where there is no text",
            nullable=True,
        ),
        *RUN_COLUMNS,
    ),
    key=("item_id",),
    checks={"known_split": "split IN ('train', 'held_out')"},
    partition_by=("split",),
    sort_by=("subject_id", "item_id"),
    properties={"delta.targetFileSize": "64mb"},
    row_group_bytes=8 << 20,
)

ITEM_EMBEDDINGS = Table(
    name="item_embeddings",
    meaning="One vector for each item and modality, of Euclidean length 1, made by the promoted encoder.",
    columns=(
        Column("item_id", "string", "id of the item"),
        Column("modality", "string", "image or text"),
        Column("embedding", "array<float>", "coordinates, length 1 in the Euclidean norm"),
        Column("model_name", "string", "registered model that made it", role="provenance"),
        Column("model_version", "string", "version of that model", role="provenance"),
        Column("source_version", "bigint", "version of item_features it was made from", role="provenance"),
        *RUN_COLUMNS,
    ),
    key=("item_id", "modality"),
    checks={"known_modality": "modality IN ('image', 'text')"},
    sort_by=("modality", "item_id"),
    guards_rows=False,
)

TRAINING_METRICS = Table(
    name="training_metrics",
    meaning="Curves and final figures of each training run; the same as in the tracking server.",
    columns=(
        Column("training_run_id", "string", "run of the train job"),
        Column("encoder", "string", "trained, untrained (the same encoder before training), raw_pixels, or chance"),
        Column("metric", "string", "name, such as loss, seconds, rows, image_to_image.recall_at_1"),
        Column("epoch", "int", "epoch from 1; 0 for what was measured before training"),
        Column("value", "double", "value of the metric"),
        *RUN_COLUMNS,
    ),
    key=("training_run_id", "encoder", "metric", "epoch"),
    slice_by=("training_run_id",),
)
