"""Batch -> gradients -> policy, on torch.distributed ranks.

| what | files, in an order to read them |
|---|---|
| processes | `agent`, `rank`, `service`, `world`, `portal`, `heartbeats` |
| the first rank leads | `loop`, `feed`, `crew`, `orders`, `history`, `resume`, `policy_log` |
| every rank follows | `replica`, `rows`, `rollout`, `packing`, `micro_batch` |
| one step | `engine`, `model`, `attention`, `logprobs`, `losses`, `gradients` |
| the same bits again | `determinism`, `libraries` |
| what it leaves behind | `policy_publisher`, `digest`, `tensor_file`, `checkpoint`, `shelf` |
| the initial policy | `initial`, `sft`, `sampler` |
| `learner replay` | `replay_legs`, `rerun`, `rerun_published`, `rerun_rank` |
"""
