"""Why an item is turned away."""

from __future__ import annotations

from enum import StrEnum


class FeatureReject(StrEnum):
    """Reasons for which an item does not enter item_features."""

    IMAGE_NOT_DECODABLE = "image_not_decodable"
    """The picture's file is broken, or no picture of a kind that Pillow knows."""
    IMAGE_TOO_LARGE = "image_too_large"
    """The picture has more pixels than features.max_image_pixels."""
    NOTHING_TO_LEARN_FROM = "nothing_to_learn_from"
    """The item has no picture, and no text or one without a single known token."""


class FeatureError(Exception):
    """An item cannot be made into tensors; says the reason and the value that offended."""

    def __init__(self, reason: FeatureReject, detail: str) -> None:
        """Keep the reason and the detail for the row of rejected_rows."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
