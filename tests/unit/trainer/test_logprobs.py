"""The chunked head against log_softmax and autograd."""

import torch

from learner.trainer.logprobs import token_logprobs


def test_values_entropy_and_gradients_are_those_of_log_softmax() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden_NH = torch.randn(11, 8, generator=generator, requires_grad=True)
    weight_VH = torch.randn(30, 8, generator=generator, requires_grad=True)
    targets_N = torch.randint(30, (11,), generator=generator)
    weights_N = torch.randn(11, generator=generator)

    scored = token_logprobs(hidden_NH, weight_VH, targets_N, chunk_tokens=4)
    found = torch.autograd.grad((scored.logprobs_N * weights_N).sum(), (hidden_NH, weight_VH))

    plain_NV = (hidden_NH @ weight_VH.T).log_softmax(dim=-1)
    plain_N = plain_NV.gather(1, targets_N[:, None])[:, 0]
    expected = torch.autograd.grad((plain_N * weights_N).sum(), (hidden_NH, weight_VH))

    torch.testing.assert_close(scored.logprobs_N, plain_N)
    torch.testing.assert_close(scored.entropy_N, -(plain_NV.exp() * plain_NV).sum(dim=-1))
    torch.testing.assert_close(found, expected)


def test_no_rows_give_no_gradient() -> None:
    weight_VH = torch.ones(3, 2, requires_grad=True)
    scored = token_logprobs(
        torch.empty(0, 2), weight_VH, torch.empty(0, dtype=torch.int64), chunk_tokens=4
    )
    scored.logprobs_N.sum().backward()
    assert weight_VH.grad is not None
    assert weight_VH.grad.tolist() == [[0.0, 0.0]] * 3
