"""The demo: a whole run on one machine, with kills and a liar, and a verdict at the end."""
