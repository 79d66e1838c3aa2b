"""The optimizers of the papers, with scalar arguments, so that a run can be repeated from its own config.

A config may name any `torch.optim` class by `class_path`. These classes exist because a default such as
`lambda params: Adam(params, betas=(0.5, 0.999))` cannot be written to YAML, while scalars can, and because their
defaults are what the GAN literature means by the name.
"""

from collections.abc import Iterable

import torch


class Adam(torch.optim.Adam):
    """Adam with its betas as two numbers; β₁ = 0.5 as in nearly every GAN paper since DCGAN.

    Args:
        params: parameters to optimise.
        lr: learning rate.
        beta1: decay of the first moment, in [0, 1). 0 for WGAN-GP and R3GAN, 0.5 for DCGAN.
        beta2: decay of the second moment, in [0, 1).
        eps: added to the denominator.
        weight_decay: L2 penalty on the weights.

    Reference:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, arXiv 1412.6980; Radford,
        Metz and Chintala, DCGAN, ICLR 2016, arXiv 1511.06434 (β₁ = 0.5).
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


class RMSProp(torch.optim.RMSprop):
    """RMSProp as the Wasserstein GAN uses it: no momentum, learning rate 5e-5.

    Args:
        params: parameters to optimise.
        lr: learning rate.
        alpha: decay of the squared gradient's mean, in [0, 1).
        eps: added to the denominator.

    Reference:
        Arjovsky, Chintala and Bottou, Wasserstein GAN, ICML 2017, arXiv 1701.07875, algorithm 1.
    """

    def __init__(self, params: Iterable, lr: float = 5e-5, alpha: float = 0.99, eps: float = 1e-8):
        super().__init__(params, lr=lr, alpha=alpha, eps=eps)


class SGD(torch.optim.SGD):
    """Stochastic gradient descent with momentum, the optimizer of the first GAN paper.

    Args:
        params: parameters to optimise.
        lr: learning rate.
        momentum: in [0, 1).

    Reference:
        Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
    """

    def __init__(self, params: Iterable, lr: float = 0.1, momentum: float = 0.5):
        super().__init__(params, lr=lr, momentum=momentum)
