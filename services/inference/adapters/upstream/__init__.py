"""Any OpenAI-compatible HTTP endpoint as a MessageEngine: a managed API, or somebody else's vLLM."""
