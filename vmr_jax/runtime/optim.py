"""The optimiser that a config names."""

import optax


def make_optimizer(settings) -> optax.GradientTransformation:
    """Adam with a constant learning rate; `grad_clip` > 0 clips the gradients' global norm."""
    if settings.name != "adam":
        raise ValueError(f"optimizer.name is {settings.name!r}; the known one is 'adam'")
    adam = optax.adam(settings.learning_rate)
    if settings.grad_clip:
        return optax.chain(optax.clip_by_global_norm(settings.grad_clip), adam)
    return adam
