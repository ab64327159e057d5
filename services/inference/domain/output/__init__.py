"""From engine tokens to deltas: detokenising, stop strings, parsing."""
