"""C++ source of attention without gradients. It is compiled after onednn_source.py in one file."""

from __future__ import annotations

SOURCE = r"""
namespace {

constexpr int QUERIES = 64;  // per round, so that their attention weights stay in cache

// softmax(row + mask), in place; the mask may be null.
void softmax(float* row, const float* mask, int count) {
    float highest = -3e38f, sum = 0;
    #pragma omp simd reduction(max: highest)
    for (int i = 0; i < count; i++) {
        if (mask) row[i] += mask[i];
        highest = std::max(highest, row[i]);
    }
    #pragma omp simd reduction(+: sum)
    for (int i = 0; i < count; i++) {
        row[i] = std::exp(std::max(row[i] - highest, -80.f));
        sum += row[i];
    }
    const float share = 1 / sum;
    for (int i = 0; i < count; i++) row[i] *= share;
}

// y (images, queries, width) is softmax(q k^T / sqrt(size of a head) + mask) v of each head. Keys
// and values are (images, keys, width); the mask is (images * heads, keys) or null.
void attend(const float* q, const float* k, const float* v, const float* mask, float* y,
            int images, int heads, int queries, int keys, int width) {
    const int size = width / heads, rounds = (queries + QUERIES - 1) / QUERIES;
    const float scale = 1 / std::sqrt((float)size);
    #pragma omp parallel
    {
        std::vector<float> weights((size_t)QUERIES * keys);
        #pragma omp for
        for (int i = 0; i < images * heads * rounds; i++) {
            const int lane = i / rounds, first = i % rounds * QUERIES;
            const int rows = std::min(QUERIES, queries - first);
            const size_t image = lane / heads, column = (size_t)(lane % heads) * size;
            const size_t placed = (image * queries + first) * width + column;
            const size_t source = image * keys * width + column;
            dnnl_sgemm('N', 'T', rows, keys, size, scale, q + placed, width, k + source, width, 0,
                       weights.data(), keys);
            for (int row = 0; row < rows; row++)
                softmax(&weights[(size_t)row * keys], mask ? mask + (size_t)lane * keys : mask,
                        keys);
            dnnl_sgemm('N', 'N', rows, size, keys, 1, weights.data(), keys, v + source, width, 0,
                       y + placed, width);
        }
    }
}

}  // namespace
"""
