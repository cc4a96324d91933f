"""Leases out, groups in, verdicts, batches. asyncio on a CPU; knows no torch."""
