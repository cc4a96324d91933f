"""The report: one HTML file that shows what became of a run. Loads nothing, runs nothing."""
