"""Conversations that clients go on with by id: in memory, or in one SQLite file. Floor 3."""

from turnout.stores.conversations.base import Change, Conversations, Kept, Room
from turnout.stores.conversations.memory import MemoryConversations

__all__ = ["Change", "Conversations", "Kept", "MemoryConversations", "Room"]
