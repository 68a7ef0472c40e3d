"""What `kinfolk explain` tells: two items of the lake side by side, how alike they are, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kinfolk.console import render_bar, render_table
from kinfolk.errors import NotFoundError
from kinfolk.settings import JoinSettings
from kinfolk.similarity.explain import Bar, Explanation, SetExplanation, Value, VectorExplanation, explain_pair
from kinfolk.tables.lookups import ItemPair, PairedItem

_TEXT_LINES = 12
_DIMENSIONS, _TOKENS = 12, 30


def explain_items(pair: ItemPair, settings: JoinSettings) -> Explanation:
    """Explain a pair as the join compares it: by its embeddings, or by its texts.

    Raises NotFoundError where an item has nothing to compare, and DataError where the join would turn one away.
    """
    return explain_pair(_read_value(pair.left, settings), _read_value(pair.right, settings), settings)


def _read_value(item: PairedItem, settings: JoinSettings) -> Value:
    value, name = (item.embedding, "embedding") if settings.compares_vectors else (item.text, "text")
    if value is None:
        raise NotFoundError(
            f"item {item.item_id!r} has no {name}, which {settings.measure} compares; choose another measure with "
            "--set similarity.measure=NAME"
        )
    return value


def render_explanation(pair: ItemPair, why: Explanation) -> str:
    """Lay an explanation out for a terminal."""
    texts = [item.text or "no text" for item in (pair.left, pair.right)]
    parts = [
        render_table([texts], [pair.left.item_id, pair.right.item_id], most_lines=_TEXT_LINES),
        "\n".join((f"{why.measure} {why.similarity + 0.0:.6g}: {why.summary}", *_tell_standing(pair, why))),
        _render_dimensions(why) if isinstance(why, VectorExplanation) else _render_tokens(why),
    ]
    return "\n\n".join(parts)


def _tell_standing(pair: ItemPair, why: Explanation) -> Iterator[str]:
    """What the last join says of the two, a line each."""
    for item in (pair.left, pair.right):
        if item.representative_id:
            yield f"{item.item_id} is a copy of {item.representative_id}, which stands for it in similar_pairs"
    if pair.is_identical:
        yield "the two are identical: copies are no row of similar_pairs"
    elif pair.similarity is None:
        yield "not in similar_pairs"
    elif pair.measure not in (None, why.measure):
        yield f"in similar_pairs, which was made under {pair.measure}, with {pair.similarity:.6g}"
    elif abs(pair.similarity - why.similarity) > 1e-9:
        yield f"in similar_pairs with {pair.similarity:.6g}: the items or the settings have changed since that join"
    else:
        yield "in similar_pairs"


def _render_dimensions(why: VectorExplanation) -> str:
    shown = why.dimensions[:_DIMENSIONS]
    drawn = _draw(why.bars(_DIMENSIONS))
    rows = [[d.place, d.left, d.right, d.contribution, bar] for d, bar in zip(shown, drawn, strict=True)]
    added = "share of the squared distance" if why.measure == "euclidean" else "adds"
    table = render_table(rows, ["dimension", "left", "right", added, ""])
    return f"{table}\n{why.summarize_rest(_DIMENSIONS)}".rstrip()


def _render_tokens(why: SetExplanation) -> str:
    bars = why.bars()
    rows = [[name, int(count), drawn] for (name, count), drawn in zip(bars, _draw(bars), strict=True)]
    named = zip(bars, (why.shared, why.left_only, why.right_only), strict=True)
    lists = [f"{name}: {_list_tokens(tokens)}" for (name, _), tokens in named if tokens]
    return "\n".join([render_table(rows, ["tokens", "count", ""]), "", *lists])


def _list_tokens(tokens: Sequence[str]) -> str:
    more = f" and {len(tokens) - _TOKENS:,} more" if len(tokens) > _TOKENS else ""
    # As Python writes them: a run of characters may begin with a blank, or hold what a terminal would obey.
    return ", ".join(map(repr, tokens[:_TOKENS])) + more


def _draw(bars: Sequence[Bar]) -> list[str]:
    greatest = max(abs(value) for _, value in bars)
    return [render_bar(value, greatest) for _, value in bars]
