"""The works of rows/full_size.py in PyTorch, with results for comparison.

The number of threads is `OMP_NUM_THREADS`, or the number of cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import torch
from in_torch.detr import DETR
from in_torch.first_stage import FirstStage
from in_torch.rtdetr import RTDETR
from in_torch.second_stage import SecondStage
from inputs import LABELS, NAMES, VOCABULARIES, embeddings, noise, square, weights
from same_results import Results, Work, norms
from torch import Tensor, nn

RATE = {"lr": 0.0, "momentum": 0.9, "weight_decay": 1e-4}

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))


def filled(network: nn.Module) -> nn.Module:
    """Set the weights of `inputs.weights`."""
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, array in weights({name: tuple(part.shape) for name, part in parameters.items()}):
            parameters[name].copy_(torch.from_numpy(array))
    return network


def trunk() -> Work:
    network, images = filled(FirstStage()), torch.from_numpy(noise(1).images_NCHW)

    @torch.inference_mode()
    def run() -> Results:
        levels = network.pyramid(images)
        return {f"p{row + 2}": level.numpy() for row, level in enumerate(levels)}

    return Work(run)


def propose() -> Work:
    network, images = filled(FirstStage()), torch.from_numpy(noise(1).images_NCHW)
    return Work(lambda: {"proposals": network.propose(images).numpy()})


def _step(network: nn.Module, losses: Callable[[], dict[str, Tensor]], clip: float = 0.0) -> Work:
    learned = {name: part for name, part in network.named_parameters() if part.requires_grad}
    optimizer = torch.optim.SGD(learned.values(), **RATE)

    def run() -> Results:
        optimizer.zero_grad()
        values = losses()
        sum(values.values()).backward()
        if clip:
            nn.utils.clip_grad_norm_(learned.values(), clip)
        optimizer.step()
        return {name: value.detach().numpy() for name, value in values.items()}

    def momenta() -> Results:
        state = optimizer.state
        return {name: state[part]["momentum_buffer"].numpy() for name, part in learned.items()}

    return Work(run, lambda: norms(momenta()))


def propose_step(count: int = 1) -> Work:
    network, batch = filled(FirstStage()), noise(count)
    images, objects = map(torch.from_numpy, (batch.images_NCHW, batch.objects_G4))
    return _step(network, lambda: network.losses(images, objects, (0, 0)))


def classify(count: int) -> Work:
    network, batch = filled(SecondStage(embeddings([NAMES]))), noise(1)
    images = torch.from_numpy(batch.images_NCHW)
    proposals = torch.from_numpy(batch.proposals_P5[:count])

    def run() -> Results:
        boxes, logits = network.classify(images, proposals)
        return {"boxes": boxes.numpy(), "logits": logits.numpy()}

    return Work(run)


def classify_step() -> Work:
    network, batch = filled(SecondStage(embeddings(VOCABULARIES))), noise(1)
    images, objects, proposals = map(torch.from_numpy, batch)
    labels = torch.from_numpy(LABELS).long()
    return _step(network, lambda: network.losses(images, objects, labels, proposals, (0, 0)), 35.0)


def rtdetr() -> Work:
    network, images = filled(RTDETR()), torch.from_numpy(square(640))
    return Work(lambda: {"proposals": network.propose(images).numpy()})


def detr() -> Work:
    network, images = filled(DETR()), torch.from_numpy(noise(1).images_NCHW)
    return Work(lambda: {"proposals": network.propose(images).numpy()})


WORKS = {
    "trunk": trunk,
    "stage1": propose,
    "stage1-1000": propose,
    "stage1-step": propose_step,
    "stage1-step-2": partial(propose_step, 2),
    "stage2-100": partial(classify, 100),
    "stage2-300": partial(classify, 300),
    "stage2-step": classify_step,
    "rtdetr": rtdetr,
    "detr": detr,
}
