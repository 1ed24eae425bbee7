"""One list of Stripe: its objects read, those of children taken out, and what it no longer shows confirmed as gone."""
