"""How well the classifier ranks prompts, by cross-validation, and what a judgement costs; run by `.run`."""
