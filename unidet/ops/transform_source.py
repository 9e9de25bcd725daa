"""C++ source of 3 x 3 convolutions of blocked maps by oneDNN's Winograd, with gradients.

Output tiles of 4 x 4 cells need a fourth of the products (arXiv 1509.09308). Results differ from
direct sums by some 1e-6 of the largest value. This source is compiled after onednn_source.py in one
file. winograd_source.py says why it has transforms of its own.
"""

from __future__ import annotations

SOURCE = r"""
namespace {

primitive_attr lent(const FollowUp& follow = {}) {
    primitive_attr after = follow.attributes();
    after.set_scratchpad_mode(scratchpad_mode::user);
    return after;
}

// Memory that is not cleared, for numbers that are written before they are read.
class Room {
    std::unique_ptr<float[]> numbers;
    size_t size = 0;

  public:
    float* of(size_t needed) {
        if (size < needed) {
            numbers.reset();  // first the old one goes
            numbers.reset(new float[needed]);
            size = needed;
        }
        return numbers.get();
    }
};

// With a scratchpad that one convolution leaves to the next.
template <class Primitive, class Chosen>
void execute(const Chosen& chosen, stream& queue, std::unordered_map<int, memory> arguments) {
    static Room room;
    const memory::desc asked = chosen.scratchpad_desc();
    const float* start = room.of(asked.get_size() / sizeof(float) + LANES);
    const size_t past = (size_t)start / sizeof(float) % LANES;
    arguments[DNNL_ARG_SCRATCHPAD] = at(asked, start + (LANES - past) % LANES);
    Primitive(chosen).execute(queue, arguments);
    queue.wait();
}

convolution_forward::primitive_desc transformed(
    const Convolution& it, const memory::dims& zeros, const memory::dims& zeros_after,
    const FollowUp& after = {}) {
    return {{prop_kind::forward_training, algorithm::convolution_winograd, it.x, it.weights,
             it.bias, it.y, it.strides, zeros, zeros_after}, lent(after), processor()};
}

// How much of a map is transformed at a time: all of it, or what takes no more room than ROOM at 36
// numbers for 16 cells.
struct Portions {
    static constexpr size_t ROOM = 6 << 20;  // numbers
    int images, rows;

    template <class Chosen> Portions(const int* n, const Chosen& whole) : images(n[0]), rows(n[2]) {
        if (whole.scratchpad_desc().get_size() <= ROOM * sizeof(float)) return;
        const size_t row = (size_t)(n[1] + n[4]) * n[3] * 36 / 16, fitting = ROOM / row;
        images = std::max<int>(1, fitting / n[2]);
        rows = std::min<int>(rows, std::max<int>(4, fitting / 4 * 4));
    }
};

// Rows `low` to `high` of every block between a map and a map of those alone.
template <class Copy>
void over_rows(int blocks, int rows, size_t row, int low, int high, Copy copy) {
    const size_t count = (high - low) * row;
    #pragma omp parallel for
    for (int block = 0; block < blocks; block++)
        copy(block * count, ((size_t)block * rows + low) * row, count * sizeof(float));
}

// y = max(z, 0), or z where nothing clamps, of z = x * filters + bias.
void convolve_by_winograd(const float* x, const float* filters, const float* bias, float* y,
                          const int* n, bool clamps) {
    const int blocks = n[1] / LANES, blocks_out = n[4] / LANES;
    const size_t row = (size_t)n[3] * LANES, image = n[2] * row;
    FollowUp after;
    if (clamps) after.function(algorithm::eltwise_relu, 0);
    stream queue(processor());
    const Convolution all(n, false);
    const Portions portions(n, transformed(all, all.zeros, all.zeros, after));
    Room room_taken, room_made;
    memory weights = at(all.filters, filters);
    for (int first = 0; first < n[0]; first += portions.images)
    for (int top = 0; top < n[2]; top += portions.rows) {
        const int images = std::min(portions.images, n[0] - first);
        const int bottom = std::min(top + portions.rows, n[2]);
        const int low = std::max(top - 1, 0), high = std::min(bottom + 1, n[2]);
        const float* from = x + first * blocks * image;
        float* to = y + first * blocks_out * image;
        const bool part = portions.rows < n[2];
        const int most = std::min(portions.rows + 2, n[2]);
        float* taken = part ? room_taken.of(blocks * most * row) : nullptr;
        float* made = part ? room_made.of(blocks_out * portions.rows * row) : nullptr;
        if (part)
            over_rows(blocks, n[2], row, low, high, [&](size_t own, size_t whole, size_t bytes) {
                std::memcpy(taken + own, from + whole, bytes);
            });
        const int numbers[10] = {images, n[1], high - low, n[3], n[4], bottom - top, n[3], 3, 1, 1};
        const Convolution it(numbers, false);
        const auto chosen = transformed(it, {top == low, 1}, {bottom == high, 1}, after);
        weights = arranged(queue, weights, chosen.weights_desc());
        execute<convolution_forward>(chosen, queue, {
            {DNNL_ARG_SRC, at(it.x, part ? taken : from)},
            {DNNL_ARG_WEIGHTS, weights},
            {DNNL_ARG_BIAS, at(it.bias, bias)},
            {DNNL_ARG_DST, at(it.y, part ? made : to)}});
        if (!part) continue;
        over_rows(blocks_out, n[2], row, top, bottom, [&](size_t own, size_t whole, size_t bytes) {
            std::memcpy(to + whole, made + own, bytes);
        });
    }
}

// Filters multiplied by a scale, if there is one.
const float* scaled(const float* filters, const float* scale, const int* n, Room& room) {
    if (!scale) return filters;
    const size_t size = (size_t)n[1] * 9;
    float* result = room.of(n[4] * size);
    #pragma omp parallel for
    for (int o = 0; o < n[4]; o++)
        for (size_t i = o * size; i < (o + 1) * size; i++) result[i] = filters[i] * scale[o];
    return result;
}

// The filters with which the gradient of what comes out gives that of what goes in.
const float* turned(const float* filters, const int* n, Room& room) {
    float* result = room.of((size_t)n[1] * n[4] * 9);
    #pragma omp parallel for
    for (int o = 0; o < n[4]; o++)
    for (int c = 0; c < n[1]; c++)
    for (int k = 0; k < 9; k++)
        result[((size_t)c * n[4] + o) * 9 + 8 - k] = filters[((size_t)o * n[1] + c) * 9 + k];
    return result;
}

// These take what those of convolve take; there is no residual, the map is blocked, and the
// slope is 0 or 1.
void transform(
    const float* x, const float* filters, const float* scale, const float* bias, const float*,
    float* y, const int* numbers, float slope, bool) {
    Room room;
    convolve_by_winograd(x, scaled(filters, scale, numbers, room), bias, y, numbers, slope == 0);
}

void transform_backward_data(
    const float* grad, const float* filters, float* x_grad, const int* n, bool) {
    const int back[10] = {n[0], n[4], n[5], n[6], n[1], n[2], n[3], 3, 1, 1};
    const std::vector<float> none(n[1]);
    Room room;
    convolve_by_winograd(grad, turned(filters, n, room), none.data(), x_grad, back, false);
}

void transform_backward_weights(
    const float* x, const float* grad, float* filters_grad, float* bias_grad, const int* numbers,
    bool) {
    stream queue(processor());
    const auto choose = [](const Convolution& it) {
        return convolution_backward_weights::primitive_desc(
            {algorithm::convolution_winograd, it.x, it.weights, it.bias, it.y, it.strides,
             it.zeros, it.zeros}, lent(), processor(), transformed(it, it.zeros, it.zeros));
    };
    const int images = Portions(numbers, choose(Convolution(numbers, false))).images;
    const size_t x_size = (size_t)numbers[1] * numbers[2] * numbers[3];
    const size_t y_size = (size_t)numbers[4] * numbers[5] * numbers[6];
    std::vector<float> filters, bias;
    for (int first = 0; first < numbers[0]; first += images) {
        std::vector<int> n(numbers, numbers + 10);
        n[0] = std::min(images, numbers[0] - first);
        const Convolution it(n.data(), false);
        const auto chosen = choose(it);
        if (first) {
            filters.resize(it.filters.get_size() / sizeof(float));
            bias.resize(n[4]);
        }
        memory weights_grad(chosen.diff_weights_desc(), processor());
        execute<convolution_backward_weights>(chosen, queue, {
            {DNNL_ARG_SRC, at(it.x, x + first * x_size)},
            {DNNL_ARG_DIFF_DST, at(it.y, grad + first * y_size)},
            {DNNL_ARG_DIFF_WEIGHTS, weights_grad},
            {DNNL_ARG_DIFF_BIAS, at(it.bias, first ? bias.data() : bias_grad)}});
        memory target = at(it.filters, first ? filters.data() : filters_grad);
        reorder(weights_grad, target).execute(queue, weights_grad, target);
        queue.wait();
        #pragma omp parallel for
        for (size_t i = 0; i < filters.size(); i++) filters_grad[i] += filters[i];
        for (size_t i = 0; i < bias.size(); i++) bias_grad[i] += bias[i];
    }
}

}  // namespace
"""
