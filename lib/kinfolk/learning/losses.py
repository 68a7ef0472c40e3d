"""The contrastive loss, as a pure function of embeddings and masks, and over ranks.

Rows of one subject attract each other, all others repel. Shapes: Q queries, K keys, D embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinfolk.learning.world import World, first_row


@dataclass(frozen=True)
class Embedded:
    """Embeddings of rows with what the loss needs to know of them.

    `vectors` are unit vectors [N, D]; `subjects` int64 [N], equal where rows show the same; `valid` bool [N], false for
    padding and for rows that lack what was embedded.
    """

    vectors: Tensor
    subjects: Tensor
    valid: Tensor


def contrastive_loss(
    queries: Embedded, keys: Embedded, *, temperature: float, first_own_key: int | None = None
) -> tuple[Tensor, Tensor]:
    """Supervised contrastive loss: its sum over the queries that have a positive, and how many those are.

    A query's positives are the valid keys of its subject; it is told apart from all valid keys. Where queries are
    themselves among the keys, query i is key `first_own_key + i`, which is neither its positive nor among those it is
    told apart from. Source: Khosla et al. 2020, "Supervised Contrastive Learning", equation 2 (the mean over positives
    stands outside the logarithm); with one positive it is InfoNCE (van den Oord et al. 2018).
    """
    candidates_QK = keys.valid.expand(len(queries.valid), -1)
    if first_own_key is not None:
        own = torch.arange(first_own_key, first_own_key + len(queries.valid))
        candidates_QK = candidates_QK & (torch.arange(len(keys.valid)) != own[:, None])
    positives_QK = candidates_QK & (queries.subjects[:, None] == keys.subjects)
    counts_Q = positives_QK.sum(1)
    counted_Q = queries.valid & (counts_Q > 0)
    similarity_QK = queries.vectors @ keys.vectors.T / temperature
    # A query without any candidate has a log-sum of minus infinity, whose gradient is not a number: leave it out first.
    similarity_QK = similarity_QK[counted_Q].masked_fill(~candidates_QK[counted_Q], -torch.inf)
    log_share_QK = similarity_QK - similarity_QK.logsumexp(1, keepdim=True)
    positives = positives_QK[counted_Q]
    mean_Q = log_share_QK.masked_fill(~positives, 0.0).sum(1) / counts_Q[counted_Q]
    return -mean_Q.sum(), counted_Q.sum()


@dataclass(frozen=True)
class LossWeights:
    """Temperature of the softmax, and the weight of text ↔ picture beside picture ↔ picture."""

    temperature: float
    text_weight: float


def batch_loss(pictures: Embedded, texts: Embedded, weights: LossWeights, world: World) -> Tensor:
    """This rank's share of the loss over the rows of all ranks; the shares add up to the loss of the global batch.

    Pictures are compared with pictures, texts with pictures and pictures with texts; each of the three is a mean over
    all queries of all ranks that have a positive. Every rank has to bring equally many rows, padding included.
    """
    all_pictures, all_texts = _gather(pictures, texts, world)
    own = first_row(world, len(pictures.valid))
    temperature = weights.temperature
    terms = [
        contrastive_loss(pictures, all_pictures, temperature=temperature, first_own_key=own),
        contrastive_loss(texts, all_pictures, temperature=temperature),
        contrastive_loss(pictures, all_texts, temperature=temperature),
    ]
    counts = world.sum(torch.stack([count for _, count in terms])).clamp(min=1)
    means = torch.stack([total for total, _ in terms]) / counts
    weighted: Tensor = means @ torch.tensor([1.0, weights.text_weight / 2, weights.text_weight / 2])
    return weighted


def _gather(pictures: Embedded, texts: Embedded, world: World) -> tuple[Embedded, Embedded]:
    """Pictures and texts of all ranks, in two messages: one that carries gradients, and one that does not."""
    rows = len(pictures.valid)
    vectors = world.gather(torch.cat([pictures.vectors, texts.vectors])[None])
    subjects = torch.cat([pictures.subjects, texts.subjects])
    valid = torch.cat([pictures.valid, texts.valid]).to(subjects.dtype)
    facts = world.gather(torch.stack([subjects, valid])[None])

    def part(rows: slice) -> Embedded:
        return Embedded(vectors[:, rows].flatten(0, 1), facts[:, 0, rows].flatten(), facts[:, 1, rows].flatten().bool())

    return part(slice(rows)), part(slice(rows, None))
