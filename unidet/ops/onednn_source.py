"""C++ source of the functions on oneDNN (see onednn.py), called by kernels; most on blocked maps.

A blocked map is (images, blocks, rows, columns, LANES); a convolution's numbers come as one array:
images, channels, rows and columns that go in, filters, rows and columns that come out, side of a
filter, stride, zeros before the first cell. Work is shared over (image, block), so that results do
not depend on the number of threads.
"""

from __future__ import annotations

SOURCE = r"""
#include <algorithm>
#include <cstring>
#include <dnnl.hpp>
#include <unordered_map>
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

// The numbers of a convolution; `plain`: what goes in is (images, channels, rows, columns).
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

    convolution_forward::primitive_desc forward(const primitive_attr& after = {}) const {
        return {{prop_kind::forward_training, algorithm::convolution_direct, x, weights, y,
                 strides, zeros, zeros}, after, processor()};
    }
};

memory at(const memory::desc& what, const float* place) {
    return {what, processor(), const_cast<float*>(place)};
}

// What lies at `from`, in the format that a primitive asks for.
memory arranged(stream& queue, memory from, const memory::desc& asked) {
    if (from.get_desc() == asked) return from;
    memory to(asked, processor());
    reorder(from, to).execute(queue, from, to);
    return to;
}

// For every block of every image.
template <class Work> void over_blocks(int images, int blocks, Work work) {
    #pragma omp parallel for
    for (long long i = 0; i < (long long)images * blocks; i++) work(i);
}

// Every cell of y in turn: its block of x, its lanes, its row and column.
template <class Work> void over_cells(const float* x, float* y, int images, int blocks, int rows,
                                      int columns, int rows_out, int columns_out, Work work) {
    over_blocks(images, blocks, [=](long long block) {
        const float* source = x + block * rows * columns * LANES;
        float* target = y + block * rows_out * columns_out * LANES;
        for (int i = 0; i < rows_out; i++)
        for (int j = 0; j < columns_out; j++, target += LANES) work(source, target, i, j);
    });
}

}  // namespace

extern "C" {

// y = max(z, slope * z) of z = scale * (x * filters) + bias + residual; scale and residual may be
// null.
void unidet_convolve(const float* x, const float* filters, const float* scale, const float* bias,
                     const float* residual, float* y, const int* numbers, float slope, bool plain) {
    const Convolution it(numbers, plain);
    stream queue(processor());
    post_ops operations;
    std::vector<memory> operands;
    const auto follow = [&](algorithm kind, const memory::desc& side, const float* place) {
        operations.append_binary(kind, side);
        operands.push_back(at(side, place));
    };
    if (scale) follow(algorithm::binary_mul, it.channel, scale);
    follow(algorithm::binary_add, it.channel, bias);
    if (residual) follow(algorithm::binary_add, it.y, residual);
    if (slope != 1) operations.append_eltwise(1, algorithm::eltwise_relu, slope, 0);
    primitive_attr after;
    after.set_post_ops(operations);
    const auto chosen = it.forward(after);
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, at(it.x, x)},
        {DNNL_ARG_WEIGHTS, arranged(queue, at(it.filters, filters), chosen.weights_desc())},
        {DNNL_ARG_DST, at(it.y, y)}};
    for (size_t i = 0; i < operands.size(); i++)
        arguments[DNNL_ARG_ATTR_MULTIPLE_POST_OP(i) | DNNL_ARG_SRC_1] = operands[i];
    convolution_forward(chosen).execute(queue, arguments);
    queue.wait();
}

void unidet_convolve_backward_data(
    const float* grad, const float* filters, float* x_grad, const int* numbers) {
    const Convolution it(numbers, false);
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

void unidet_convolve_backward_weights(
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

// Between (images, channels, rows, columns) and blocks; lanes past the last channel are 0.
void unidet_arrange(const float* from, float* to, int images, int channels, int rows, int columns,
                    bool block) {
    const memory::dims sides = {images, channels, rows, columns};
    stream queue(processor());
    memory source = at(described(sides, block ? tag::nchw : tag::nChw16c), from);
    memory target = at(described(sides, block ? tag::nChw16c : tag::nchw), to);
    reorder(source, target).execute(queue, source, target);
    queue.wait();
}

// y (batch, m, n) = a (batch, m, k) * b (batch, k, n); of what is transposed the last sides lie
// swapped.
void unidet_multiply(const float* a, const float* b, float* y, long long batch, long long m,
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

// Maximum of 3 x 3 cells around every second one.
void unidet_max_pool(const float* x, float* y, int images, int blocks, int rows, int columns,
                     int rows_out, int columns_out) {
    over_cells(x, y, images, blocks, rows, columns, rows_out, columns_out,
               [=](const float* source, float* target, int i, int j) {
        std::memcpy(target, source + ((size_t)i * 2 * columns + j * 2) * LANES,
                    sizeof(float) * LANES);
        for (int h = std::max(i * 2 - 1, 0); h < std::min(i * 2 + 2, rows); h++)
        for (int w = std::max(j * 2 - 1, 0); w < std::min(j * 2 + 2, columns); w++) {
            const float* cell = source + ((size_t)h * columns + w) * LANES;
            #pragma omp simd
            for (int c = 0; c < LANES; c++) target[c] = std::max(target[c], cell[c]);
        }
    });
}

// The gradient goes to the first cell that is the maximum.
void unidet_max_pool_backward(const float* x, const float* y, const float* grad, float* x_grad,
                              int images, int blocks, int rows, int columns, int rows_out,
                              int columns_out) {
    over_blocks(images, blocks, [=](long long block) {
        const size_t start = block * rows * columns * LANES;
        const size_t start_out = block * rows_out * columns_out * LANES;
        std::memset(x_grad + start, 0, sizeof(float) * rows * columns * LANES);
        for (int i = 0; i < rows_out; i++)
        for (int j = 0; j < columns_out; j++)
        for (int c = 0; c < LANES; c++) {
            const size_t out = start_out + ((size_t)i * columns_out + j) * LANES + c;
            bool given = false;
            for (int h = std::max(i * 2 - 1, 0); h < std::min(i * 2 + 2, rows); h++)
            for (int w = std::max(j * 2 - 1, 0); w < std::min(j * 2 + 2, columns); w++) {
                const size_t cell = start + ((size_t)h * columns + w) * LANES + c;
                if (given || x[cell] != y[out]) continue;
                x_grad[cell] += grad[out];
                given = true;
            }
        }
    });
}

// Mean of side x side cells; what is left over at the right or bottom is dropped.
void unidet_mean_pool(const float* x, float* y, int images, int blocks, int rows, int columns,
                      int rows_out, int columns_out, int side) {
    const float share = 1.f / (side * side);
    over_cells(x, y, images, blocks, rows, columns, rows_out, columns_out,
               [=](const float* source, float* target, int i, int j) {
        float sum[LANES] = {0};
        for (int h = i * side; h < (i + 1) * side; h++)
        for (int w = j * side; w < (j + 1) * side; w++) {
            const float* cell = source + ((size_t)h * columns + w) * LANES;
            #pragma omp simd
            for (int c = 0; c < LANES; c++) sum[c] += cell[c];
        }
        for (int c = 0; c < LANES; c++) target[c] = sum[c] * share;
    });
}

void unidet_mean_pool_backward(const float* grad, float* x_grad, int images, int blocks, int rows,
                               int columns, int rows_out, int columns_out, int side) {
    const float share = 1.f / (side * side);
    over_cells(grad, x_grad, images, blocks, rows_out, columns_out, rows, columns,
               [=](const float* source, float* target, int h, int w) {
        const int i = h / side, j = w / side;
        const float* cell = source + ((size_t)i * columns_out + j) * LANES;
        const float weight = i < rows_out && j < columns_out ? share : 0;
        if (weight == 0) cell = source;
        #pragma omp simd
        for (int c = 0; c < LANES; c++) target[c] = cell[c] * weight;
    });
}

// Every cell of y the cell of x under it, as interpolation by nearest cell has it.
void unidet_spread(const float* x, float* y, int images, int blocks, int rows, int columns,
                   int rows_out, int columns_out) {
    over_cells(x, y, images, blocks, rows, columns, rows_out, columns_out,
               [=](const float* source, float* target, int i, int j) {
        const int h = (long long)i * rows / rows_out, w = (long long)j * columns / columns_out;
        std::memcpy(target, source + ((size_t)h * columns + w) * LANES, sizeof(float) * LANES);
    });
}

void unidet_spread_backward(const float* grad, float* x_grad, int images, int blocks, int rows,
                            int columns, int rows_out, int columns_out) {
    over_blocks(images, blocks, [=](long long block) {
        const float* source = grad + block * rows_out * columns_out * LANES;
        float* target = x_grad + block * rows * columns * LANES;
        std::memset(target, 0, sizeof(float) * rows * columns * LANES);
        for (int i = 0; i < rows_out; i++)
        for (int j = 0; j < columns_out; j++, source += LANES) {
            const int h = (long long)i * rows / rows_out, w = (long long)j * columns / columns_out;
            float* cell = target + ((size_t)h * columns + w) * LANES;
            #pragma omp simd
            for (int c = 0; c < LANES; c++) cell[c] += source[c];
        }
    });
}

}  // extern "C"
"""
