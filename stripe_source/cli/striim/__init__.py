"""Commands for what comes from Striim."""
