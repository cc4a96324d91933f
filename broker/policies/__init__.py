"""Policies on their way through object storage: signed, published, fetched and verified."""
