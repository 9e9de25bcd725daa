"""RT-DETR (r18vd, r34vd, r50vd, r101vd) with official settings, any number of classes.

N images, Q queries, G ground-truth boxes, D denoising queries.

Inputs come case by case, "eval" and "wide" or "t32", "t30" and "t00" in the recordings; outputs
start with their case.

- Inference: `img_u8` (N, 3, H, W), 0 to 255, sides multiples of 32, is case "eval"; `X/img_u8` is
  case X. Optionally `X/post/orig_size_wh` (N, 2), the size that detections are in.
- Training: `img_u8` for all cases; `X/gt/boxes0` (G, 4) cxcywh in 0..1, `X/gt/labels0` (G,) of
  every image; `X/dn/draw0_rand_like` … `draw3_rand_like`, unless the case has no boxes.
- Optionally `X/decoder/topk_ind` (inference) or `X/topk_ind` (training), (N, Q): the order in which
  the chosen memory cells become queries, if they are the same ones. Neighbouring scores differ by
  as little as 5e-7, so the network's own order is not that of another float32 implementation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jittor as jt
import numpy as np

from unidet.config.networks import RTDETRConfig
from unidet.models.matcher import Targets
from unidet.models.rtdetr.decoder import Selection, anchor_logits
from unidet.models.rtdetr.decoder_layer import Sizes
from unidet.models.rtdetr.denoising import Noise, noise_shape
from unidet.models.rtdetr.encoder import position_table
from unidet.models.rtdetr.network import RTDETR, TrainingOutput, best_pairs
from unidet.models.set_prediction import Prediction, absolute_boxes
from unidet.ops.blocked_maps import as_array
from unidet.ops.loss_term import loss_values, total
from unidet.ops.sampling import BatchRandom
from unidet.pipelines.traces.batch import plain_batch
from unidet.pipelines.traces.inputs import Inputs
from unidet.pipelines.traces.matched import match_tensors, take_targets, training_cases
from unidet.pipelines.traces.published_settings import proposer_settings
from unidet.pipelines.traces.seen import seen
from unidet.vocabularies.vocabulary import COCO_IDS
from unidet.weights.layouts.layout import Weights
from unidet.weights.load import load_into

DRAWS = ("draw0_rand_like", "draw1_randint_like", "draw2_randint_like", "draw3_rand_like")


def build(weights: Weights) -> RTDETR:
    """The network of the weights' layout."""
    classes = len(weights.arrays["decoder.enc_score_head.bias"])
    settings = proposer_settings(weights.layout.network, RTDETRConfig)
    # A recorded step is on images of their own size: no side is drawn for the batch.
    recorded = replace(settings, compat="official", train_sides=())
    network = RTDETR(recorded, classes=classes)
    load_into(network, weights.arrays)
    return network


def forward(network: RTDETR, inputs: Inputs) -> dict[str, np.ndarray]:
    """Feature maps, the selection, every decoder layer, predictions and detections."""
    cases = [name.removesuffix("/img_u8") for name in inputs if name.endswith("/img_u8")]
    named = ({"eval": "img_u8"} if "img_u8" in inputs else {}) | {
        case: f"{case}/img_u8" for case in cases
    }
    if not named:
        _images(inputs, "img_u8")
    outputs: dict[str, np.ndarray] = {}
    for case, name in named.items():
        tensors = _inference(network, inputs, case, _images(inputs, name))
        outputs |= {f"{case}/{name}": value for name, value in tensors.items()}
    return outputs


def train(network: RTDETR, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, jt.Var]]:
    """Denoising queries, selection, predictions, matches and losses, case by case."""
    images = _images(inputs, "img_u8")
    outputs: dict[str, np.ndarray] = {}
    totals = {}
    for case in training_cases(inputs):
        tensors, totals[f"{case}/"] = _step(network, inputs, case, images)
        outputs |= {f"{case}/{name}": value for name, value in tensors.items()}
    return outputs, totals


def _images(inputs: Inputs, name: str) -> np.ndarray:
    pixels = inputs.take(name, f"N of {name}", 3, f"H of {name}", f"W of {name}")
    if pixels.shape[2] % 32 or pixels.shape[3] % 32:
        size = f"{pixels.shape[2]} x {pixels.shape[3]}"
        raise inputs.refusal(f"{name} is {size} pixels, both must be multiples of 32")
    return pixels.astype(np.float32) / np.float32(255)


def _inference(
    network: RTDETR, inputs: Inputs, case: str, images: np.ndarray
) -> dict[str, np.ndarray]:
    parts, methods = _parts(network), _methods(network) | {"prediction": network.predict}
    ordered = {"selection": lambda own: _in_order(own, inputs, f"{case}/decoder/topk_ind")}
    with seen(parts | methods, ordered) as results:
        network.detect(jt.array(images), np.tile(np.array(images.shape[2:]), (len(images), 1)))
    (feats,), (maps,), (prediction,) = results["feats"], results["maps"], results["prediction"]
    ((memory, sizes),), (selection,) = results["memory"], results["selection"]
    tensors = _maps(feats, maps) | {name: results[name][0].numpy() for name in parts}
    channels, height, width = tensors["encoder/s32"].shape[1:]
    tensors["encoder/aifi_pos_embed"] = position_table(height, width, channels)[None]
    tensors["decoder/memory"] = memory.numpy()
    tensors |= {f"decoder/{name}": array for name, array in _selection(selection, sizes).items()}
    return tensors | _prediction(prediction) | _detections(inputs, case, images, prediction)


def _methods(network: RTDETR) -> dict[str, Callable]:
    """What inference and training both go through."""
    return {
        "feats": network.backbone.execute,
        "maps": network.encoder.execute,
        "memory": network.memory,
        "selection": network.decoder.select,
    }


def _maps(feats: list[jt.Var], maps: list[jt.Var]) -> dict[str, np.ndarray]:
    named = zip(("backbone/c3", "backbone/c4", "backbone/c5"), feats, strict=True)
    outputs = zip(("encoder/s8", "encoder/s16", "encoder/s32"), maps, strict=True)
    return {name: as_array(feature) for name, feature in [*named, *outputs]}


def _parts(network: RTDETR) -> dict[str, Callable]:
    """By the tensor that is the part's first result."""
    decoder = network.decoder
    first = decoder.decoder.layers[0]
    parts = {
        "encoder/aifi_out": network.encoder.encoder[0],
        "decoder/enc_output": decoder.enc_output,
        "decoder/layer0_self_attn": first.self_attn,
        "decoder/layer0_cross_attn": first.cross_attn,
        "decoder/query_pos0": decoder.query_pos_head,
    }
    for index, layer in enumerate(decoder.decoder.layers):
        parts[f"decoder/layer{index}_out"] = layer
        parts[f"decoder/layer{index}_bbox_delta"] = decoder.dec_bbox_head[index]
    return {name: part.execute for name, part in parts.items()}


def _selection(selection: Selection, sizes: Sizes) -> dict[str, np.ndarray]:
    anchors, valid = anchor_logits(sizes)
    return {
        "anchors_logit": anchors[None],
        "valid_mask": valid[None, :, None],
        "enc_max_score": selection.scores,
        "topk_ind": selection.cells,
        "target0": selection.content.numpy(),
        "ref_unact0": selection.references.numpy(),
        "enc_topk_bboxes": selection.prediction.boxes.numpy(),
        "enc_topk_logits": selection.prediction.logits.numpy(),
    }


def _in_order(selection: Selection, inputs: Inputs, name: str) -> Selection:
    """The same queries in the order of the input `name`, where it has the same ones."""
    if name not in inputs:
        return selection
    recorded = inputs.take(name, *selection.cells.shape)
    if (np.sort(recorded, axis=1) != np.sort(selection.cells, axis=1)).any():
        return selection
    places = np.argsort(selection.cells, axis=1)
    order = np.take_along_axis(places, np.argsort(np.argsort(recorded, axis=1), axis=1), axis=1)
    rows = jt.array(order.astype(np.int32))

    def moved(values: jt.Var) -> jt.Var:
        index = rows.unsqueeze(2).broadcast((*order.shape, values.shape[2]))
        return jt.gather(values, 1, index)

    prediction = selection.prediction
    return replace(
        selection,
        cells=recorded,
        prediction=Prediction(moved(prediction.logits), moved(prediction.boxes)),
        content=moved(selection.content),
        references=moved(selection.references),
    )


def _prediction(prediction: Prediction) -> dict[str, np.ndarray]:
    return {"pred_logits": prediction.logits.numpy(), "pred_boxes": prediction.boxes.numpy()}


def _detections(
    inputs: Inputs, case: str, images: np.ndarray, prediction: Prediction
) -> dict[str, np.ndarray]:
    """Of the first image as recorded; of others with `_image1`, … behind the name."""
    count = len(images)
    name = f"{case}/post/orig_size_wh"
    sizes = np.tile(np.array([images.shape[3], images.shape[2]]), (count, 1))
    sizes = inputs.take(name, count, 2) if name in inputs else sizes
    boxes = absolute_boxes(prediction.boxes, sizes[:, ::-1])
    scores = jt.sigmoid(prediction.logits).numpy()
    tensors: dict[str, np.ndarray] = {}
    for image in range(count):
        suffix = f"_image{image}" if image else ""
        detected = best_pairs(boxes[image], scores[image], scores.shape[1])
        tensors[f"post/boxes_xyxy{suffix}"] = detected.boxes
        tensors[f"post/scores{suffix}"] = detected.scores
        tensors[f"post/labels{suffix}"] = detected.labels
        if scores.shape[2] == len(COCO_IDS):
            tensors[f"post/labels_category_id{suffix}"] = np.array(COCO_IDS)[detected.labels]
    return tensors


def _noise(inputs: Inputs, case: str, targets: Targets) -> Noise:
    shape = noise_shape(targets)
    draws = (
        inputs.take(f"{case}/dn/{name}", *shape, *((4,) if place > 1 else ()))
        for place, name in enumerate(DRAWS)
    )
    return Noise(*draws)


def _step(
    network: RTDETR, inputs: Inputs, case: str, images: np.ndarray
) -> tuple[dict[str, np.ndarray], jt.Var]:
    targets = take_targets(inputs, case, len(images), network.classes)
    sizes = np.tile(np.array(images.shape[2:]), (len(images), 1))
    batch = plain_batch(images, sizes, targets.boxes, targets.labels)
    methods = _methods(network) | {
        "targets": network.targets,
        "noise": network.noise,
        "output": network.training_output,
        "matches": network.matches,
    }
    changes = {
        "targets": lambda own: targets,
        "noise": lambda own: _noise(inputs, case, targets) if targets.count else own,
        "selection": lambda own: _in_order(own, inputs, f"{case}/topk_ind"),
    }
    with seen(methods, changes) as results:
        terms = network.loss(batch, BatchRandom())
    (feats,), (maps,), (selection,) = results["feats"], results["maps"], results["selection"]
    (output,), (matches,) = results["output"], results["matches"]
    tensors = _maps(feats, maps) | _denoising(network, output, targets)
    tensors |= {"enc_max_score": selection.scores, "topk_ind": selection.cells}
    for suffix, prediction in output.matched.items():
        layer = suffix.removeprefix("_").replace("_", "")
        own = _prediction(prediction)
        tensors |= {f"{layer}/{name}" if layer else name: own[name] for name in own}
        tensors |= match_tensors(layer or "last", matches[suffix], len(images))
    for index, prediction in enumerate(output.denoising_layers):
        tensors |= {f"dn{index}/{name}": own for name, own in _prediction(prediction).items()}
    values = loss_values(terms)
    loss = total(values)
    if output.denoising is None:  # officially there are no denoising losses then; here they are 0
        values = {name: value for name, value in values.items() if "_dn_" not in name}
    tensors |= {f"loss/{name}": np.asarray(value.item()) for name, value in values.items()}
    return tensors | {"loss_total": np.asarray(loss.item())}, loss


def _denoising(network: RTDETR, output: TrainingOutput, targets: Targets) -> dict[str, np.ndarray]:
    denoising = output.denoising
    if denoising is None:
        return {}
    queries = output.selection.cells.shape[1]
    tensors = {
        "dn/labels_noised": denoising.labels,
        "dn/bbox_unact": denoising.references,
        "dn/attn_mask": denoising.mask(queries),
        "dn/num_group": np.array(denoising.groups),
        "dn/num_split": np.array([denoising.labels.shape[1], queries]),
        "dn/query": network.decoder.embedded(denoising.labels).numpy(),
    }
    for image in range(len(targets.labels)):
        of_image = denoising.matches.images == image
        tensors[f"dn/positive_idx{image}"] = denoising.matches.queries[of_image]
    return tensors | match_tensors("dn", denoising.matches, len(targets.labels))
