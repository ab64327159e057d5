"""JSON of single values, fast: what goes between pre-rendered pieces of a chunk."""

from __future__ import annotations

import msgspec

# Returns the JSON form of any value as bytes; for a str that is the escaped, quoted text.
encode = msgspec.json.Encoder().encode
