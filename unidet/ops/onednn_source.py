"""C++ source of functions that call oneDNN (see onednn.py), most of them on blocked maps.

A blocked map is (images, blocks, rows, columns, LANES). The numbers of a convolution are one array:
images, input channels, input rows, input columns, filters, output rows, output columns, side of a
filter, stride, padding at the top and left.
"""

from __future__ import annotations

SOURCE = r"""
#include <algorithm>
#include <cmath>
#include <cstring>
#include <dnnl.hpp>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using namespace dnnl;
using tag = memory::format_tag;
constexpr int LANES = 16;

engine& processor() {
    static engine it(engine::kind::cpu, 0);
    return it;
}

memory::desc described(memory::dims sides, tag format) {
    return {sides, memory::data_type::f32, format};
}

memory at(const memory::desc& what, const float* place) {
    return {what, processor(), const_cast<float*>(place)};
}

// Operations on the sums of a convolution, in order, with their arrays.
struct FollowUp {
    post_ops operations;
    std::unordered_map<int, memory> arguments;

    void binary(algorithm kind, const memory::desc& side, const float* place) {
        arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(operations.len()) | DNNL_ARG_SRC_1]
            = at(side, place);
        operations.append_binary(kind, side);
    }
    void function(algorithm kind, float alpha) { operations.append_eltwise(1, kind, alpha, 0); }
    primitive_attr attributes() const {
        primitive_attr with;
        with.set_post_ops(operations);
        return with;
    }
};

// Shapes of a convolution; `plain`: the input is (images, channels, rows, columns).
struct Convolution {
    memory::desc x, weights, filters, bias, y, channel;
    memory::dims strides, zeros;

    Convolution(const int* n, bool plain)
        : x(described({n[0], n[1], n[2], n[3]}, plain ? tag::nchw : tag::nChw16c)),
          weights(described({n[4], n[1], n[7], n[7]}, tag::any)),
          filters(described({n[4], n[1], n[7], n[7]}, tag::oihw)),
          bias(described({n[4]}, tag::x)),
          y(described({n[0], n[4], n[5], n[6]}, tag::nChw16c)),
          channel(described({1, n[4], 1, 1}, tag::nchw)),
          strides({n[8], n[8]}), zeros({n[9], n[9]}) {}

    convolution_forward::primitive_desc forward(prop_kind kind = prop_kind::forward_training,
                                                const FollowUp& after = {}) const {
        return {{kind, algorithm::convolution_direct, x, weights, y, strides, zeros, zeros},
                after.attributes(), processor()};
    }
};

// `from`, converted to the layout `asked` of a primitive if necessary.
memory arranged(stream& queue, memory from, const memory::desc& asked) {
    if (from.get_desc() == asked) return from;
    memory to(asked, processor());
    reorder(from, to).execute(queue, from, to);
    return to;
}

// y = max(z, slope * z) with z = scale * (x conv filters) + bias + residual. Scale and residual may
// be null.
void convolve(const float* x, const float* filters, const float* scale, const float* bias,
              const float* residual, float* y, const int* numbers, float slope, bool plain) {
    const Convolution it(numbers, plain);
    stream queue(processor());
    FollowUp after;
    if (scale) after.binary(algorithm::binary_mul, it.channel, scale);
    after.binary(algorithm::binary_add, it.channel, bias);
    if (residual) after.binary(algorithm::binary_add, it.y, residual);
    if (slope != 1) after.function(algorithm::eltwise_relu, slope);
    const auto chosen = it.forward(prop_kind::forward_training, after);
    after.arguments[DNNL_ARG_SRC] = at(it.x, x);
    after.arguments[DNNL_ARG_WEIGHTS]
        = arranged(queue, at(it.filters, filters), chosen.weights_desc());
    after.arguments[DNNL_ARG_DST] = at(it.y, y);
    convolution_forward(chosen).execute(queue, after.arguments);
    queue.wait();
}

void convolve_backward_data(
    const float* grad, const float* filters, float* x_grad, const int* numbers, bool plain) {
    const Convolution it(numbers, plain);
    stream queue(processor());
    const convolution_backward_data::primitive_desc chosen(
        {algorithm::convolution_direct, it.x, it.weights, it.y, it.strides, it.zeros, it.zeros},
        processor(), it.forward());
    convolution_backward_data(chosen).execute(queue, {
        {DNNL_ARG_DIFF_DST, at(it.y, grad)},
        {DNNL_ARG_WEIGHTS, arranged(queue, at(it.filters, filters), chosen.weights_desc())},
        {DNNL_ARG_DIFF_SRC, at(it.x, x_grad)}});
    queue.wait();
}

void convolve_backward_weights(
    const float* x, const float* grad, float* filters_grad, float* bias_grad, const int* numbers,
    bool plain) {
    const Convolution it(numbers, plain);
    stream queue(processor());
    const convolution_backward_weights::primitive_desc chosen(
        {algorithm::convolution_direct, it.x, it.weights, it.bias, it.y, it.strides, it.zeros,
         it.zeros}, processor(), it.forward());
    memory weights_grad(chosen.diff_weights_desc(), processor());
    convolution_backward_weights(chosen).execute(queue, {
        {DNNL_ARG_SRC, at(it.x, x)},
        {DNNL_ARG_DIFF_DST, at(it.y, grad)},
        {DNNL_ARG_DIFF_WEIGHTS, weights_grad},
        {DNNL_ARG_DIFF_BIAS, at(it.bias, bias_grad)}});
    memory target = at(it.filters, filters_grad);
    reorder(weights_grad, target).execute(queue, weights_grad, target);
    queue.wait();
}

// Convert (images, channels, rows, columns) to a blocked map or back; padding channels are 0.
void arrange(const float* from, float* to, int images, int channels, int rows, int columns,
             bool block) {
    const memory::dims sides = {images, channels, rows, columns};
    stream queue(processor());
    memory source = at(described(sides, block ? tag::nchw : tag::nChw16c), from);
    memory target = at(described(sides, block ? tag::nChw16c : tag::nchw), to);
    reorder(source, target).execute(queue, source, target);
    queue.wait();
}

// y (batch, m, n) = a (batch, m, k) * b (batch, k, n); a transposed operand is stored with its last
// two sides swapped.
void multiply(const float* a, const float* b, float* y, long long batch, long long m,
              long long k, long long n, bool a_transposed, bool b_transposed) {
    const memory::desc a_side({batch, m, k}, memory::data_type::f32,
        a_transposed ? memory::dims{m * k, 1, m} : memory::dims{m * k, k, 1});
    const memory::desc b_side({batch, k, n}, memory::data_type::f32,
        b_transposed ? memory::dims{k * n, 1, k} : memory::dims{k * n, n, 1});
    const memory::desc y_side = described({batch, m, n}, tag::abc);
    stream queue(processor());
    matmul({{a_side, b_side, y_side}, processor()}).execute(queue, {
        {DNNL_ARG_SRC, at(a_side, a)},
        {DNNL_ARG_WEIGHTS, at(b_side, b)},
        {DNNL_ARG_DST, at(y_side, y)}});
    queue.wait();
}

}  // namespace
"""
