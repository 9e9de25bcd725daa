"""Multi-threaded RoIAlign and NMS on a CPU for PyTorch, which has neither.

RoIAlign computes each sample as mmcv and torchvision do. Threads share the regions in the forward
pass and the channels in the backward pass; mmcv's runs in one thread.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

SOURCE = r"""
#include <algorithm>
#include <cmath>
#include <vector>

struct Sample { int cells[4]; float shares[4]; };

struct Region {
    int image, per_bin;
    std::vector<Sample> samples;  // bin after bin
};

static bool axis(float at, int cells, int& low, int& high, float& share) {
    if (at < -1.f || at > cells) return false;
    at = std::max(at, 0.f);
    low = std::min((int)at, cells - 1);
    high = std::min(low + 1, cells - 1);
    share = low == cells - 1 ? 0.f : at - low;
    return true;
}

static Region plan(const float* roi, int height, int width, int bins, float scale) {
    Region region;
    region.image = (int)roi[0];
    const float left = roi[1] * scale - .5f, top = roi[2] * scale - .5f;
    const float wide = (roi[3] * scale - .5f - left) / bins;
    const float high = (roi[4] * scale - .5f - top) / bins;
    const int columns = std::max(0, (int)std::ceil(wide)), rows = std::max(0, (int)std::ceil(high));
    region.per_bin = rows * columns;
    region.samples.reserve((size_t)region.per_bin * bins * bins);
    for (int p = 0; p < bins; p++) for (int q = 0; q < bins; q++)
    for (int i = 0; i < rows; i++) for (int j = 0; j < columns; j++) {
        Sample sample = {};
        int above, below, before, behind;
        float down, right;
        if (axis(top + p * high + (i + .5f) * high / rows, height, above, below, down) &&
            axis(left + q * wide + (j + .5f) * wide / columns, width, before, behind, right)) {
            sample = {{above * width + before, above * width + behind,
                       below * width + before, below * width + behind},
                      {(1 - down) * (1 - right), (1 - down) * right,
                       down * (1 - right), down * right}};
        }
        region.samples.push_back(sample);
    }
    return region;
}

extern "C" void pool(const float* feats, const float* rois, float* pooled, int count, int channels,
                     int height, int width, int bins, float scale) {
    #pragma omp parallel for schedule(dynamic, 4)
    for (int r = 0; r < count; r++) {
        const Region region = plan(rois + r * 5, height, width, bins, scale);
        float* into = pooled + (size_t)r * channels * bins * bins;
        const float share = 1.f / std::max(region.per_bin, 1);
        for (int c = 0; c < channels; c++) {
            const float* map = feats + ((size_t)region.image * channels + c) * height * width;
            const Sample* sample = region.samples.data();
            for (int bin = 0; bin < bins * bins; bin++) {
                float sum = 0;
                for (int k = 0; k < region.per_bin; k++, sample++)
                    for (int n = 0; n < 4; n++) sum += sample->shares[n] * map[sample->cells[n]];
                *into++ = sum * share;
            }
        }
    }
}

extern "C" void spread(float* feats, const float* rois, const float* pooled, int count,
                       int channels, int height, int width, int bins, float scale) {
    std::vector<Region> regions(count);
    #pragma omp parallel for schedule(dynamic, 4)
    for (int r = 0; r < count; r++) regions[r] = plan(rois + r * 5, height, width, bins, scale);
    #pragma omp parallel for schedule(dynamic, 1)
    for (int c = 0; c < channels; c++) for (int r = 0; r < count; r++) {
        const Region& region = regions[r];
        float* map = feats + ((size_t)region.image * channels + c) * height * width;
        const float* from = pooled + ((size_t)r * channels + c) * bins * bins;
        const Sample* sample = region.samples.data();
        for (int bin = 0; bin < bins * bins; bin++) {
            const float share = from[bin] / std::max(region.per_bin, 1);
            for (int k = 0; k < region.per_bin; k++, sample++)
                for (int n = 0; n < 4; n++) map[sample->cells[n]] += sample->shares[n] * share;
        }
    }
}

// Boxes best first; keeps[i] of each. Returns how many are kept.
extern "C" int suppress(const float* boxes, int count, float threshold, bool* keeps) {
    std::vector<float> areas(count);
    for (int i = 0; i < count; i++) {
        const float* box = boxes + i * 4;
        areas[i] = (box[2] - box[0]) * (box[3] - box[1]);
        keeps[i] = true;
    }
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (!keeps[i]) continue;
        kept++;
        const float* one = boxes + i * 4;
        for (int j = i + 1; j < count; j++) {
            if (!keeps[j]) continue;
            const float* other = boxes + j * 4;
            const float wide = std::min(one[2], other[2]) - std::max(one[0], other[0]);
            const float high = std::min(one[3], other[3]) - std::max(one[1], other[1]);
            const float shared = std::max(wide, 0.f) * std::max(high, 0.f);
            if (shared / (areas[i] + areas[j] - shared) > threshold) keeps[j] = false;
        }
    }
    return kept;
}
"""


def _compiled() -> ctypes.CDLL:
    """Compile and load the library; it uses the OpenMP library that PyTorch has loaded."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "regions.cpp"), Path(folder, "regions.so")
        source.write_text(SOURCE)
        flags = ["-O3", "-march=native", "-fopenmp", "-fPIC", "-shared"]
        subprocess.run(["g++", *flags, str(source), "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))


LIBRARY = _compiled()


def _pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


class _RoIAlign(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, feats: torch.Tensor, rois: torch.Tensor, size: int, scale: float
    ) -> torch.Tensor:
        feats, rois = feats.contiguous(), rois.contiguous()
        context.rois, context.shape, context.scale = rois, feats.shape, scale
        channels, height, width = feats.shape[1:]
        pooled = torch.empty(len(rois), channels, size, size)
        tensors = (_pointer(tensor) for tensor in (feats, rois, pooled))
        numbers = (len(rois), channels, height, width, size, ctypes.c_float(scale))
        LIBRARY.pool(*tensors, *numbers)
        return pooled

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        gradient, rois = gradient.contiguous(), context.rois
        channels, height, width = context.shape[1:]
        feats = torch.zeros(context.shape)
        tensors = (_pointer(tensor) for tensor in (feats, rois, gradient))
        numbers = (len(rois), channels, height, width, gradient.shape[2])
        LIBRARY.spread(*tensors, *numbers, ctypes.c_float(context.scale))
        return feats, None, None, None


def roi_align(feats: torch.Tensor, rois: torch.Tensor, size: int, scale: float) -> torch.Tensor:
    """(R, C, size, size) of RoIs (image, x1, y1, x2, y2); adaptive sampling, aligned."""
    return _RoIAlign.apply(feats, rois, size, scale)


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Rows of the kept boxes, by descending score."""
    order = scores.argsort(descending=True, stable=True)
    ranked = boxes[order].contiguous()
    keeps = torch.empty(len(boxes), dtype=torch.bool)
    LIBRARY.suppress(_pointer(ranked), len(ranked), ctypes.c_float(threshold), _pointer(keeps))
    return order[keeps]
