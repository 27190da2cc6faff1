"""The count in Redis: one Lua script for each batch."""
