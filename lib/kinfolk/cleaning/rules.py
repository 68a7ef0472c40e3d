"""Row rules: a reason, the condition under which a row breaks the rule, and the value that offends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column

ORIGIN = ("source", "file", "row")
"""Columns that say where a row comes from; they are its key, and its place in the order of rows."""
_WHITESPACE = " \t\n\r\x0b\x0c\u00a0\ufeff"


@dataclass(frozen=True)
class Rule:
    """A rule; a condition that is null counts as met, so that the row stays."""

    reason: StrEnum
    is_broken: Column
    detail: Column


def judge(rules: Iterable[Rule]) -> dict[str, Column]:
    """`reject_reason` and `reject_detail` of the first rule that a row breaks, null where it breaks none."""
    rules = list(rules)
    reasons = [F.when(rule.is_broken, F.lit(str(rule.reason))) for rule in rules]
    details = [F.when(rule.is_broken, F.coalesce(rule.detail, F.lit(""))) for rule in rules]
    return {"reject_reason": F.coalesce(*reasons), "reject_detail": F.nullif(F.coalesce(*details), F.lit(""))}


def trim(text: Column) -> Column:
    """A text without white space around it; null where nothing is left."""
    return F.nullif(F.btrim(text, F.lit(_WHITESPACE)), F.lit(""))
