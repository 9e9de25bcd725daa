"""DETR with a ResNet-50 and official settings, any number of classes, dropout off.

N images, Q queries, G ground-truth boxes. Outputs start with their case.

- Images: `img_u8` (N, 3, H, W), 0 to 255, of one size, is case "eval"; `pad/img0_u8`,
  `pad/img1_u8`, … (1, 3, h, w), padded to one size, are case "pad". Optionally
  `CASE/post/orig_size_hw` (N, 2), the size that detections are in.
- Training, on the images of "pad" or else on `img_u8`: `X/gt/boxes0` (G, 4) cxcywh in units of the
  image's sides and `X/gt/labels0` (G,) of every image, for one or several cases X.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jittor as jt
import numpy as np

from unidet.config.networks import DETRConfig
from unidet.models.detr.criterion import cardinality_error
from unidet.models.detr.network import DETR, WIDTH, class_scores
from unidet.models.detr.positions import padding_mask, position_embedding
from unidet.models.matcher import Targets
from unidet.models.set_prediction import Prediction, absolute_boxes
from unidet.ops.blocked_maps import as_array
from unidet.ops.loss_term import loss_values, total
from unidet.ops.sampling import BatchRandom
from unidet.pipelines.traces.batch import plain_batch
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.matched import match_tensors, take_targets, training_cases
from unidet.pipelines.traces.published_settings import proposer_settings
from unidet.pipelines.traces.seen import seen
from unidet.records import Batch
from unidet.weights.layouts.layout import Weights
from unidet.weights.load import load_into

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
Images = tuple[np.ndarray, np.ndarray]
"""(N, 3, H, W) normalized and padded with zeros; (N, 2) height and width before padding."""


def build(weights: Weights) -> DETR:
    """The network of the weights, with as many classes as they have."""
    outputs = len(weights.arrays["class_embed.bias"])
    queries = len(weights.arrays["query_embed.weight"])
    settings = proposer_settings("detr_r50", DETRConfig)
    settings = replace(settings, queries=queries, dropout=0.0, compat="official")
    network = DETR(settings, classes=outputs - 1)
    load_into(network, weights.arrays)
    return network


def forward(network: DETR, inputs: Inputs) -> dict[str, np.ndarray]:
    """Feature maps, every encoder and decoder layer, predictions and detections."""
    outputs: dict[str, np.ndarray] = {}
    cases = {"eval": _single(inputs)} if "img_u8" in inputs or "pad/img0_u8" not in inputs else {}
    if "pad/img0_u8" in inputs:
        cases["pad"] = _padded(inputs)
    for case, images in cases.items():
        tensors = _inference(network, inputs, case, images)
        outputs |= {f"{case}/{name}": value for name, value in tensors.items()}
    return outputs


def train(network: DETR, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, jt.Var]]:
    """Predictions, matches and losses, case by case; `loss_unscaled/` before their weights."""
    images, sizes = _padded(inputs) if "pad/img0_u8" in inputs else _single(inputs)
    outputs: dict[str, np.ndarray] = {}
    totals = {}
    for case in training_cases(inputs):
        classes = network.class_embed.bias.shape[0] - 1
        targets = take_targets(inputs, case, len(images), classes)
        batch = plain_batch(images, sizes, targets.boxes, targets.labels)
        tensors, totals[f"{case}/"] = _step(network, batch, targets)
        outputs |= {f"{case}/{name}": value for name, value in tensors.items()}
    return outputs, totals


def _step(network: DETR, batch: Batch, targets: Targets) -> tuple[dict[str, np.ndarray], jt.Var]:
    methods: dict[str, Callable] = {
        "targets": network.targets,
        "layers": network.predictions,
        "matches": network.matches,
    }
    with seen(methods, {"targets": lambda own: targets}) as results:
        terms = network.loss(batch, BatchRandom())
    values = loss_values(terms)
    (layers,), (matches,) = results["layers"], results["matches"]
    tensors = _prediction(layers[-1])
    tensors |= {
        f"loss_unscaled/{name}": np.asarray(value.item() / terms[name].weight)
        for name, value in values.items()
    }
    for index, layer in enumerate(layers):
        last = index == len(layers) - 1
        name, suffix = ("last", "") if last else (f"aux{index}", f"_{index}")
        tensors |= match_tensors(name, matches[index], len(targets.labels))
        error = np.asarray(cardinality_error(layer, targets))
        tensors[f"loss_unscaled/cardinality_error{suffix}"] = error
    loss = total(values)
    return tensors | {"loss_total_weighted": np.asarray(loss.item())}, loss


def _normalized(pixels: np.ndarray) -> np.ndarray:
    return ((pixels.astype(np.float32) / np.float32(255)) - MEAN) / STD


def _single(inputs: Inputs) -> Images:
    images = _normalized(inputs.take("img_u8", "N", 3, "H", "W"))
    return images, np.tile(np.array(images.shape[2:]), (len(images), 1))


def _padded(inputs: Inputs) -> Images:
    single: list[np.ndarray] = []
    while (name := f"pad/img{len(single)}_u8") in inputs:
        pixels = inputs.take(name, 1, 3, f"H of {name}", f"W of {name}")
        single.append(_normalized(pixels)[0])
    sizes = np.array([image.shape[1:] for image in single])
    batch = np.zeros((len(single), 3, *sizes.max(axis=0)), np.float32)
    for target, image in zip(batch, single, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    return batch, sizes


def _inference(network: DETR, inputs: Inputs, case: str, images: Images) -> dict[str, np.ndarray]:
    batch, sizes = images
    with seen(_parts(network) | {"layers": network.predictions}) as results:
        network.detect(jt.array(batch), sizes)
    (layers,) = results.pop("layers")
    tensors = {name: _as_recorded(name, as_array(outputs[-1])) for name, outputs in results.items()}
    pixels, cells = _plane(batch), _plane(tensors["input_proj"])
    mask = padding_mask(sizes, pixels, cells)
    tensors["mask"] = padding_mask(sizes, pixels, pixels)
    tensors |= {"mask_down": mask, "pos": position_embedding(mask, WIDTH)}
    for index, prediction in enumerate(layers[:-1]):
        auxiliary = _prediction(prediction)
        tensors |= {f"aux{index}/{name}": value for name, value in auxiliary.items()}
    tensors |= _prediction(layers[-1])
    return tensors | _detections(inputs, case, sizes, layers[-1])


def _plane(maps: np.ndarray) -> tuple[int, int]:
    height, width = maps.shape[2:]
    return height, width


def _parts(network: DETR) -> dict[str, Callable]:
    backbone, transformer = network.backbone, network.transformer
    names = {"layer1": backbone.layer1, "layer2": backbone.layer2, "layer3": backbone.layer3}
    parts = {f"backbone/{name}": layer for name, layer in names.items()}
    parts["backbone/c5"] = backbone.layer4
    for index, layer in enumerate(transformer.encoder.layers):
        parts[f"encoder/layer{index}"] = layer
    first = transformer.decoder.layers[0]
    parts["decoder/layer0_self_attn"] = first.self_attn
    parts["decoder/layer0_cross_attn"] = first.multihead_attn
    for index, layer in enumerate(transformer.decoder.layers):
        parts[f"decoder/layer{index}_before_final_norm"] = layer
    parts["hs_last"] = transformer.decoder.norm
    return {name: part.execute for name, part in parts.items()} | {"input_proj": network.projected}


def _as_recorded(name: str, array: np.ndarray) -> np.ndarray:
    """The official transformer has tokens in front of images."""
    return array.swapaxes(0, 1) if name.startswith(("encoder/", "decoder/")) else array


def _prediction(prediction: Prediction) -> dict[str, np.ndarray]:
    return {"pred_logits": prediction.logits.numpy(), "pred_boxes": prediction.boxes.numpy()}


def _detections(
    inputs: Inputs, case: str, sizes: np.ndarray, prediction: Prediction
) -> dict[str, np.ndarray]:
    """In the queries' order, as recorded: of one image `post/scores`, else `post/img0/scores`."""
    name = f"{case}/post/orig_size_hw"
    sizes = inputs.take(name, len(sizes), 2) if name in inputs else sizes
    boxes, scores = absolute_boxes(prediction.boxes, sizes), class_scores(prediction.logits)
    tensors: dict[str, np.ndarray] = {}
    for image in range(len(sizes)):
        prefix = f"post/img{image}/" if len(sizes) > 1 else "post/"
        tensors[f"{prefix}scores"] = scores[image].max(axis=1)
        tensors[f"{prefix}labels"] = scores[image].argmax(axis=1)
        tensors[f"{prefix}boxes"] = boxes[image]
    return tensors
