"""Texts that are hard to cut into tokens: scripts, cases, marks and blanks that careless code confuses."""

from __future__ import annotations

from hypothesis import strategies as st

from kinfolk.settings import TokenSettings

SCRIPTS = [
    "aAbzZ09_ -'.,\n\t",
    "àÉßſıİŁøÅ",
    "ΣσςΑάЖжЁё",
    "שלוםسلام١٢",
    "नमस्ते१ไทย",
    "漢字。、ひらカナ한국어",
    "Ⅳ²½ǅKÅẞȺⱥ",
    "\u0301\u200d\u00a0\u2028\x00",
    "𝐀𐐀𐐨🙂𝟘",
]
characters = st.one_of(*(st.sampled_from(script) for script in SCRIPTS), st.characters(codec="utf-8"))
token_settings = st.builds(TokenSettings, unit=st.sampled_from(["words", "characters"]), length=st.integers(1, 4))
