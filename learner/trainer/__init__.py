"""Batch -> gradients -> policy, on torch.distributed ranks."""
