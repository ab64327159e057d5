"""vLLM as a TokenEngine. Importing this package is cheap; vLLM itself loads when an engine starts (about 11 s)."""
