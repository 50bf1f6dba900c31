"""Where what is known of answers afterwards is kept, beside the journal. Floor 3."""

from turnout.stores.feedback.base import FeedbackQuery, FeedbackStore, Place, QualityDay, Told

__all__ = ["FeedbackQuery", "FeedbackStore", "Place", "QualityDay", "Told"]
