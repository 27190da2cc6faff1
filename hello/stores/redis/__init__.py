"""The count in Redis: one Lua script a batch."""
