"""Plans: documents of work, read strictly, and what they mean. Does nothing outside."""
