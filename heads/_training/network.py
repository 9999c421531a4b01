"""The network of heads that read frames: tail → layer mix → pooling → classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heads._training.pooling import Statistics, make_pooling
from heads._training.settings import Architecture

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Inputs (clips, layers, frames, width) and valid frames (clips,), as `Sequences.batch` gives them.
Inputs = tuple[Tensor, Tensor]


class Standardise(nn.Module):
    """(x - mean) / std with fixed numbers; what hardly varies is divided by 1.

    Args:
        mean: of the training clips, broadcastable to the input.
        std: likewise.
        centre: whether the mean is subtracted.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, std: Tensor, centre: bool = True) -> None:
        super().__init__()
        # a float32 number cannot vary by less than this share of itself
        constant = std <= 1e-6 * mean.abs()
        scale = 1.0 / torch.where(constant, torch.ones_like(std), std)
        shift = -mean * scale if centre else torch.zeros_like(mean)
        # not persistent: checkpoints leave out what is cheap to compute again
        self.register_buffer("shift", shift.float(), persistent=False)
        self.register_buffer("scale", scale.float(), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Standardise; the result is float32."""
        return torch.addcmul(self.shift, values.float(), self.scale)


class LayerMix(nn.Module):
    """Sum of layers under learnt weights that add up to 1 and start equal.

    Args:
        layers: how many.
    """

    # Adam moves a number by about the learning rate per step, whatever it stands for; without
    # this the weights of a short training would hardly leave their start.
    SPEED = 20.0

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(layers))

    def weights(self) -> Tensor:
        """Weights of the layers, (layers,)."""
        return torch.softmax(self.SPEED * self.logits, dim=0)

    def forward(self, layers: Tensor, standardise: Standardise) -> Tensor:
        """Sum of standardised layers.

        Args:
            layers: (clips, layers, frames, width).
            standardise: of these layers.

        Returns:
            float32 (clips, frames, width).
        """
        weights = self.weights()[:, None, None]
        # layer by layer, standardised on the way: a standardised copy of all layers at once would
        # take longer to write than the sum takes
        scales = (weights * standardise.scale).unbind()
        mixed = (weights * standardise.shift).sum(dim=0)
        for layer, scale in zip(layers.unbind(dim=1), scales, strict=True):
            mixed = torch.addcmul(mixed, layer.float(), scale)
        return mixed


class Network(nn.Module):
    """Frames → logits; built by `build`, which knows the statistics of the training clips.

    Attributes:
        tail: the trained part of a backbone, or None.
        head: everything after it.
    """

    def __init__(self, tail: nn.Module | None, mix: bool) -> None:
        super().__init__()
        self.tail = tail
        self.mix = mix
        self.head = nn.ModuleDict()

    def layers(self, inputs: Tensor, lengths: Tensor) -> Inputs:
        """What the backbone gives: (clips, layers, frames, width) and valid frames (clips,)."""
        if self.tail is None:
            return inputs, lengths
        outputs = self.tail(inputs[:, 0], lengths)
        last = outputs.hidden[-1]
        if not self.mix:
            return last[:, None], outputs.lengths[-1]
        alike = [hidden for hidden in outputs.hidden if hidden.shape == last.shape]
        return torch.stack(alike, dim=1), outputs.lengths[-1]

    def vectors(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Pooled clips (clips, features), not yet standardised."""
        layers, lengths = self.layers(inputs, lengths)
        standardise = self.head["frames"]
        if "mix" in self.head:
            frames = self.head["mix"](layers, standardise)
        else:
            frames = standardise(layers)[:, 0]
        return self.head["pooling"](frames, lengths)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Logits, float32 (clips, classes)."""
        vectors = self.head["vectors"](self.vectors(inputs, lengths))
        with torch.autocast(vectors.device.type, enabled=False):
            return self.head["classifier"](vectors)


def build(
    tail: nn.Module | None,
    architecture: Architecture,
    classes: int,
    batches: Callable[[], Iterable[Inputs]],
    seed: int,
) -> Network:
    """A new network, with standardisations computed on training clips by two passes.

    Args:
        tail: the trained part of a backbone, on the device to train on, or None.
        architecture: the rest.
        classes: number of classes.
        batches: gives the batches of a pass, on that device.
        seed: of the new weights.

    Returns:
        The network in training mode, on the device of the batches.
    """
    network = Network(tail, architecture.mix).eval()
    mean, std, device = _frame_statistics(network, batches())
    layers, width = mean.shape
    # a sum of centred frames would forget how long the clip is; the others are the same either way
    centre = architecture.pooling != "sum"
    torch.manual_seed(seed)
    pooling = make_pooling(architecture.pooling, width, architecture.attention)
    network.head["frames"] = Standardise(mean[:, None], std[:, None], centre)
    if layers > 1:
        network.head["mix"] = LayerMix(layers)
    network.head["pooling"] = pooling
    network.head["classifier"] = _classifier(pooling.features, architecture, classes)
    network.to(device).eval()
    with torch.no_grad():
        vectors = torch.cat([network.vectors(*batch).cpu() for batch in batches()]).double()
    mean, std = vectors.mean(dim=0), vectors.std(dim=0, correction=0)
    network.head["vectors"] = Standardise(mean, std)
    return network.to(device).train()


def assembled(
    tail: nn.Module | None,
    architecture: Architecture,
    classes: int,
    state: Mapping[str, NDArray[Any]],
) -> Network:
    """A network that was trained before, in evaluation mode on the processor.

    Args:
        tail: a fresh copy of the trained part of the backbone, or None.
        architecture: the rest.
        classes: number of classes.
        state: by the names of parameters and buffers, what training changed.

    Raises:
        ValueError: it is the state of another network.
    """
    tensors = {name: torch.from_numpy(own.copy()) for name, own in state.items()}
    network = Network(tail, architecture.mix)
    try:
        scale = tensors["head.frames.scale"]
        layers, _, width = scale.shape
        pooling = make_pooling(architecture.pooling, width, architecture.attention)
        network.head["frames"] = Standardise(torch.zeros_like(scale), torch.ones_like(scale))
        if layers > 1:
            network.head["mix"] = LayerMix(layers)
        network.head["pooling"] = pooling
        network.head["classifier"] = _classifier(pooling.features, architecture, classes)
        features = torch.zeros(pooling.features)
        network.head["vectors"] = Standardise(features, features + 1)
        for name, own in network.head.named_buffers(prefix="head"):
            own.copy_(tensors.pop(name).view_as(own))
        lacking = set(network.state_dict()) - set(tensors)
        given = {name for name, own in (tail or nn.Module()).named_parameters(prefix="tail")}
        if unknown := lacking - given | set(tensors) - set(network.state_dict()):
            raise ValueError(f"'{min(unknown)}' is of one of them alone")
        network.load_state_dict(tensors, strict=False)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"the head's arrays are another network's: {error}") from error
    return network.eval()


@torch.no_grad()
def _frame_statistics(
    network: Network, batches: Iterable[Inputs]
) -> tuple[Tensor, Tensor, torch.device]:
    """Mean and population std over all frames, float64 (layers, width); and the device."""
    counts, means, variances = [], [], []
    for inputs, lengths in batches:
        layers, lengths = network.layers(inputs, lengths)
        device = layers.device
        pooling = Statistics("mean_std", layers.shape[-1])
        pooled = [pooling(layer, lengths).cpu().double() for layer in layers.unbind(dim=1)]
        mean, std = torch.stack(pooled, dim=1).chunk(2, dim=2)
        counts.append(lengths.cpu().double())
        means.append(mean)
        variances.append(std.square())
    share = torch.cat(counts)[:, None, None]
    share /= share.sum()
    mean = torch.cat(means)
    total = (share * mean).sum(dim=0)
    # the variance of all frames is that within clips and that between their means
    variance = (share * (torch.cat(variances) + (mean - total).square())).sum(dim=0)
    return total, variance.sqrt(), device


def _classifier(features: int, architecture: Architecture, classes: int) -> nn.Sequential:
    dropout, hidden = architecture.dropout, architecture.hidden
    if not hidden:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, classes))
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.Tanh(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )
