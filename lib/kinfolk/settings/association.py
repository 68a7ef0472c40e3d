"""What counts as bought together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kinfolk.settings.section import Section, Size

Redundancy = Literal["same_baskets", "odds_ratio"]
ItemsetKind = Literal["all", "closed", "maximal", "generators"]


class AssociationSettings(Section):
    """What counts as bought together."""

    min_support: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Least share of the baskets that have to hold an itemset, above 0 to 1, taken exactly: 0.01 of 300 is 3."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """Least number of baskets that have to hold an itemset, in the place of min_support."""
    min_length: Annotated[int, Field(ge=1, le=64)] = 1
    """Fewest items of an itemset that is written; rules do not depend on it."""
    max_length: Annotated[int, Field(ge=1, le=64)] = 10
    """Most items of an itemset, and of both sides of a rule together."""
    itemsets: ItemsetKind = "all"
    """Which itemsets are written: all frequent ones; closed ones, than which no larger set is in as many baskets;
    maximal ones, than which no larger set is frequent; or generators, than which no smaller set is in as few. Rules are
    made of all in any case."""
    required_items: tuple[str, ...] = ()
    """Ids of items all of which an itemset has to hold to be written; rules do not depend on it."""
    excluded_items: tuple[str, ...] = ()
    """Ids of items that are left out of all baskets before anything is counted."""
    categories: bool = False
    """Count the categories of items as items too, at every level: baskets with Milk hold Food > Dairy and Food as well.
    Their ids are `category:` and the path; no set holds an item together with a category that it belongs to."""
    max_itemsets: Annotated[int, Field(ge=1)] = 2_000_000
    """Most itemsets; more stop the job. A worker needs some 150 bytes of memory for each that is found."""
    raises_support: bool = False
    """Raise the least support where more than max_itemsets are found, to the lowest at which they are not, instead of
    stopping the job."""
    top_itemsets: Annotated[int, Field(ge=1)] | None = None
    """Raise the least support to where so many itemsets of min_length to max_length items are left, and those that are
    as frequent as the last of them; null for all that are frequent."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least confidence of a rule, 0 to 1."""
    max_consequent: Annotated[int, Field(ge=1, le=63)] = 1
    """Most items of a rule's consequent. A rule with a longer one says no more than the rules with its single items,
    each of which is at least as confident."""
    max_antecedent: Annotated[int, Field(ge=1, le=63)] = 63
    """Most items of a rule's antecedent."""
    antecedent_items: tuple[str, ...] = ()
    """Ids of items, one of which a rule's antecedent has to hold; empty for any."""
    consequent_items: tuple[str, ...] = ()
    """Ids of items, one of which a rule's consequent has to hold; empty for any."""
    top_rules: Annotated[int, Field(ge=1)] | None = None
    """Keep so many rules, the highest by top_measure of those that are wanted, and those that are as high as the last
    of them; null for all."""
    top_measure: str = "lift"
    """The measure, of docs/measures.md, that top_rules goes by."""
    drops_redundant: Redundancy | None = None
    """Leave out rules that another one makes needless. same_baskets: one with fewer items before it or, as far as
    max_consequent allows, more behind it, which is true of the same baskets and wrong for the same. odds_ratio: one
    with fewer items before it and the same behind, to whose odds ratio it adds nothing certain: the 95% interval does
    not lie above that of the other; rules to several items stay. Null keeps all."""
    min_measures: dict[str, float] = Field(default_factory=dict)
    """Least values of other measures that a rule has to reach, by name, such as {lift: 1.2}; docs/measures.md lists
    all. A rule for which a measure has no value is left out."""
    min_improvement: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Least improvement of a rule: by how much it is more confident than every rule with fewer items before it and the
    same item behind; null for any. Rules to several items are not measured, and stay."""
    min_interest: Annotated[float, Field(ge=1)] | None = None
    """Leave out a rule, where categories count, whose support and confidence are both less than so many times what is
    expected by the rule with the category right above one of its items in the place of this one; null for none."""
    max_false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the rules that may be there by chance alone; rules are then tested (Fisher's exact test, corrected for
    all rules that the items could make), and those that do not hold out are left out. Null for no test."""
    holdout_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the baskets, drawn by their ids, that nothing is learned from: rules tell how they do on these."""
    confounder: Annotated[str, Field(min_length=1)] | None = None
    """Column within whose values rules are checked, such as source; or year, quarter, month, weekday or hour of
    event_time. A rule tells in which of them it is reversed. Null for no check."""
    segment_by: Annotated[str, Field(min_length=1)] | None = None
    """Column by whose values baskets are also mined apart, such as segment, the country or store that a source names;
    or year, quarter, month, weekday or hour of event_time. Null for none, which leaves the segment job out."""
    min_segment_baskets: Annotated[int, Field(ge=1)] = 200
    """Fewest baskets of a segment that is mined."""
    min_segment_count: Annotated[int, Field(ge=1)] = 20
    """Fewest baskets of a segment that have to hold a frequent itemset, however small a share min_support asks for:
    what three of three hundred hold is chance, and there is very much of it."""
    max_rules: Annotated[int, Field(ge=1)] = 10_000_000
    """Most rules; more stop the job before it writes anything."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """By which share of the least support sets may fall short of it and still be counted, so that baskets that come or
    go later need no look at the others; 0 for none, and nothing is kept for later."""
    max_change_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the rules said to have changed since the last run that may not have, but for chance."""
    window_days: Annotated[int, Field(ge=1)] | None = None
    """Mine only events of so many days, in UTC, the last of which is the run date; all by default."""
    tasks: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Spark tasks that share the baskets; null for as few as keep within max_memory, one as a rule. More are slower
    where one would do: each looks for what is frequent in its part, and all count what any of them found."""
    max_memory: Size | None = None
    """Most memory of a mining task for its baskets, such as 8 GB. Null for what is free where the job is started, less
    a tenth: give it where tasks run on other machines. Itemsets come on top, for which max_itemsets is the bound."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads that the mining task computes with; 0 for as many as Spark gives a task cores (spark.task.cpus), and all
    cores where one machine does all the work."""

    @model_validator(mode="after")
    def _interest_has_categories(self) -> AssociationSettings:
        if self.min_interest is not None and not self.categories:
            raise ValueError("min_interest compares rules with those of wider categories: set categories as well")
        return self


class RecommendationSettings(Section):
    """What is recommended to whom."""

    subject: Literal["customer", "basket"] = "customer"
    """To whom: each customer, by all that they ever bought, or each basket."""
    items: Annotated[int, Field(ge=1, le=1000)] = 5
    """Most items recommended to each."""
    measure: str = "confidence"
    """The measure of rules, of docs/measures.md, by which items are ranked: an item has that of the best rule to it."""
    min_lift: Annotated[float, Field(ge=0)] = 1.0
    """Least lift of a rule that recommends: what is bought anyway needs no reason."""
