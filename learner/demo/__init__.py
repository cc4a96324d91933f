"""The demo: a run on one machine, with kills and a liar, and its promises checked at the end."""
