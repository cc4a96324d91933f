"""Log-probabilities of tokens from hidden states, a chunk of tokens at a time.

The logits of all tokens are never held at once, and no log-softmax is kept for the backward pass:
the backward pass computes each chunk's logits again. Peak memory is that of one chunk of logits.

Dimensions: N tokens, H hidden size, V vocabulary, C tokens of one chunk.
"""

from typing import Any, NamedTuple

import torch

_CHUNK_TOKENS = 1024


class TokenLogprobs(NamedTuple):
    """What the head says about each token."""

    logprobs_N: torch.Tensor
    """float32, in nats; carries the gradient."""
    entropy_N: torch.Tensor
    """float32, in nats, of the distribution that the token was drawn from; no gradient."""


def token_logprobs(
    hidden_NH: torch.Tensor,
    weight_VH: torch.Tensor,
    targets_N: torch.Tensor,
    *,
    chunk_tokens: int = _CHUNK_TOKENS,
) -> TokenLogprobs:
    """log softmax(hidden @ weight.T) at the targets, and the entropy of that softmax."""
    return TokenLogprobs(*_ChunkedHead.apply(hidden_NH, weight_VH, targets_N, chunk_tokens))


class _ChunkedHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        targets_N: torch.Tensor,
        chunk_tokens: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        normalizer_N = hidden_NH.new_empty(len(targets_N), dtype=torch.float32)
        logprobs_N, entropy_N = torch.empty_like(normalizer_N), torch.empty_like(normalizer_N)
        for start in range(0, len(targets_N), chunk_tokens):
            chunk = slice(start, start + chunk_tokens)
            logits_CV = (hidden_NH[chunk] @ weight_VH.T).float()
            normalizer_N[chunk] = logits_CV.logsumexp(dim=-1)
            logprobs_CV = logits_CV - normalizer_N[chunk, None]
            logprobs_N[chunk] = logprobs_CV.gather(1, targets_N[chunk, None]).squeeze(1)
            entropy_N[chunk] = -(logprobs_CV.exp() * logprobs_CV).sum(dim=-1)
        ctx.save_for_backward(hidden_NH, weight_VH, targets_N, normalizer_N)
        ctx.chunk_tokens = chunk_tokens
        ctx.mark_non_differentiable(entropy_N)
        return logprobs_N, entropy_N

    @staticmethod
    def backward(
        ctx: Any, *grad_outputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        # d logprob / d logits = onehot(target) - softmax(logits)
        grad_N = grad_outputs[0]
        hidden_NH, weight_VH, targets_N, normalizer_N = ctx.saved_tensors
        grad_hidden_NH = torch.empty_like(hidden_NH)
        grad_weight_VH = torch.zeros_like(weight_VH, dtype=torch.float32)
        for start in range(0, len(targets_N), ctx.chunk_tokens):
            chunk = slice(start, start + ctx.chunk_tokens)
            logits_CV = (hidden_NH[chunk] @ weight_VH.T).float()
            softmax_CV = (logits_CV - normalizer_N[chunk, None]).exp_()
            grad_logits_CV = softmax_CV.mul_(-grad_N[chunk, None])
            rows_C = torch.arange(len(grad_logits_CV), device=grad_logits_CV.device)
            grad_logits_CV[rows_C, targets_N[chunk]] += grad_N[chunk]
            grad_logits_CV = grad_logits_CV.to(weight_VH.dtype)
            grad_hidden_NH[chunk] = grad_logits_CV @ weight_VH
            grad_weight_VH += grad_logits_CV.T @ hidden_NH[chunk]
        return grad_hidden_NH, grad_weight_VH.to(weight_VH.dtype), None, None
