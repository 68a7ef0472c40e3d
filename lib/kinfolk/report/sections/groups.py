"""The largest groups of similar items."""

from __future__ import annotations

from dataclasses import dataclass

from kinfolk.report.pictures import Card, read_cards
from kinfolk.report.pinned import PinnedTables
from kinfolk.settings import Settings
from kinfolk.tables.catalog import ITEM_GROUPS

SHOWN_MEMBERS = 24


@dataclass(frozen=True)
class Group:
    """A group with its first members by id."""

    name: str
    size: int
    cards: tuple[Card, ...]

    @property
    def more(self) -> int:
        """Members that are not shown."""
        return self.size - len(self.cards)


@dataclass(frozen=True)
class Groups:
    """The largest groups, and how many groups have which size as (words, groups)."""

    largest: tuple[Group, ...]
    sizes: tuple[tuple[str, int], ...]


def read_groups(tables: PinnedTables, settings: Settings) -> Groups | None:
    """The largest groups; None where no items belong together."""
    if not tables.has(ITEM_GROUPS) or settings.report.groups == 0:
        return None
    sql = f"""
        WITH sizes AS (SELECT group_id, COUNT(*) AS size FROM item_groups GROUP BY group_id),
        largest AS (SELECT group_id, size FROM sizes ORDER BY size DESC, group_id LIMIT {settings.report.groups:d}),
        members AS (
            SELECT group_id, size, item_id, ROW_NUMBER() OVER (PARTITION BY group_id ORDER BY item_id) AS place
            FROM item_groups JOIN largest USING (group_id))
        SELECT group_id, size, item_id FROM members WHERE place <= {SHOWN_MEMBERS}
        ORDER BY size DESC, group_id, place"""
    rows = tables.query(sql, ITEM_GROUPS)
    cards = read_cards(tables, [row["item_id"] for row in rows])
    members: dict[tuple[str, int], list[Card]] = {}
    for row in rows:
        members.setdefault((row["group_id"], row["size"]), []).append(cards[row["item_id"]])
    largest = tuple(Group(_name(shown), size, tuple(shown)) for (_, size), shown in members.items())
    return Groups(largest, _count_sizes(tables))


def _name(cards: list[Card]) -> str:
    """The shortest name of each subject, up to four of them."""
    names: dict[str, str] = {}
    for card in cards:
        names[card.subject_id] = min(
            names.get(card.subject_id, card.name), card.name, key=lambda name: (len(name), name)
        )
    different = list(dict.fromkeys(names.values()))
    return ", ".join(different[:4]) + (", …" if len(different) > 4 else "")


def _count_sizes(tables: PinnedTables) -> tuple[tuple[str, int], ...]:
    sql = """
        WITH sizes AS (SELECT COUNT(*) AS size FROM item_groups GROUP BY group_id)
        SELECT CASE WHEN size = 2 THEN 1 WHEN size = 3 THEN 2 WHEN size <= 9 THEN 3 ELSE 4 END AS class,
               COUNT(*) AS groups
        FROM sizes GROUP BY 1 ORDER BY 1"""
    words = {1: "of 2", 2: "of 3", 3: "of 4 to 9", 4: "of 10 or more"}
    return tuple((words[row["class"]], row["groups"]) for row in tables.query(sql, ITEM_GROUPS))
