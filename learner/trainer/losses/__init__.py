"""One loss, one file: formula in the docstring, one plain function of tensors."""

from functools import partial

from learner.trainer.losses.dppo import dppo
from learner.trainer.losses.ppo import ppo
from learner.trainer.losses.token_loss import Loss, TokenLoss
from schemas.settings import DppoSettings, PpoSettings

__all__ = ["Loss", "TokenLoss", "loss_for"]


def loss_for(settings: DppoSettings | PpoSettings) -> Loss:
    """The loss that the settings name, with its settings filled in."""
    match settings:
        case DppoSettings():
            return partial(dppo, settings=settings)
        case PpoSettings():
            return partial(ppo, settings=settings)
