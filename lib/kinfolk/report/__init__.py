"""The report: one page that shows what the lake holds, made from pinned versions of its tables."""
