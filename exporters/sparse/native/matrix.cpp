// SparseMatMul: rows of X (..., columns) times the transpose of a sparse constant matrix (features, columns).
#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>

#include "operator.h"

namespace compress_sparse {
namespace {

constexpr int64_t kOneByOne = 2;  // up to so many rows of X, each is a product of its own

class Product : public Node {
 public:
  explicit Product(const Info& info) : features_(info.integer("features")), columns_(info.integer("columns")), clamp_(info.clamp()) {
    weights_ = info.weights(features_, columns_, 1);
  }

  void run(Run& run) const override {
    const Tensor x = run.input(kX), bias = run.input(kBias), residual = run.input(kResidual);
    if (x.sizes.empty() || x.sizes.back() != columns_)
      throw Fault("X has the shape " + text_of(x.sizes) + "; its last size must be " + std::to_string(columns_));
    if (bias && (bias.sizes.size() != 1 || bias.sizes[0] != features_)) throw Fault("the bias has the shape " + text_of(bias.sizes));
    std::vector<int64_t> sizes = x.sizes;
    sizes.back() = features_;
    if (residual && residual.sizes != sizes)
      throw Fault("the residual has the shape " + text_of(residual.sizes) + "; the output has " + text_of(sizes));
    float* const y = run.output(sizes);
    const int64_t rows = count_of(x.sizes) / columns_;
    if (!rows) return;
    if (rows <= kOneByOne) return one_by_one(run, x.data, bias.data, residual.data, y, rows);
    by_tiles(run, x.data, bias.data, residual.data, y, rows);
  }

 private:
  void one_by_one(Run& run, const float* x, const float* bias, const float* residual, float* y, int64_t rows) const {
    const std::vector<int32_t> bounds = shares(*weights_, static_cast<int32_t>(wanted_tasks()));
    const size_t parts = bounds.size() - 1;
    run.parallel(parts * static_cast<size_t>(rows), static_cast<uint64_t>(rows) * weights_->values.size(), [&](size_t i) {
      const auto row = static_cast<int64_t>(i / parts);
      const Vector vector{x + row * columns_, weights_->starts.data(), weights_->indices.data(), weights_->values.data(), bias,
                          residual ? residual + row * features_ : nullptr, y + row * features_, weights_->groups,
                          bounds[i % parts], bounds[i % parts + 1], weights_->rows, weights_->k_blocks, clamp_.low, clamp_.high};
      kernels().vector(weights_->block, vector);
    });
  }

  std::shared_ptr<const std::vector<int32_t>> offsets_for(int64_t step) const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!offsets_ || step_ != step) {
      std::vector<int32_t> places;
      for (int64_t k = 0; k < columns_; ++k) places.push_back(static_cast<int32_t>(k * step));
      offsets_ = std::make_shared<const std::vector<int32_t>>(resolved(*weights_, places));
      step_ = step;
    }
    return offsets_;
  }

  void by_tiles(Run& run, const float* x, const float* bias, const float* residual, float* y, int64_t rows) const {
    const int64_t width = kernels().width;
    const std::vector<Stretch> tiles = stretches({rows, rows, rows, false}, weights_->block, kernels());
    const int64_t step = static_cast<int64_t>(tiles.back().vectors) * width;
    if (step * columns_ > std::numeric_limits<int32_t>::max()) throw Fault("X is too large");
    const std::shared_ptr<const std::vector<int32_t>> offsets = offsets_for(step);
    const auto count = static_cast<int64_t>(tiles.size());
    const int64_t partial_rows = weights_->k_blocks > 1 ? (weights_->groups + 127) / 128 : 1;
    const std::vector<int32_t> bounds = shares(*weights_, static_cast<int32_t>(std::max(partial_rows, wanted_parts(count))));
    const size_t parts = bounds.size() - 1;
    const uint64_t worth = static_cast<uint64_t>(rows) * weights_->values.size();

    float* const turned = run.scratch(tiles.size() * static_cast<size_t>(step * columns_));
    run.parallel(tiles.size(), worth, [&](size_t i) {
      const int64_t wanted = std::min(rows - tiles[i].from, static_cast<int64_t>(tiles[i].vectors) * width);
      turn(x + tiles[i].from * columns_, wanted, turned + i * static_cast<size_t>(step * columns_), step, tiles[i].vectors * width);
    });
    float* const computed = run.scratch(tiles.size() * static_cast<size_t>(step * features_));
    run.parallel(tiles.size() * parts, worth, [&](size_t i) {
      const size_t at = i / parts;
      const Stretch& stretch = tiles[at];
      Tile tile{};
      tile.x = turned + at * static_cast<size_t>(step * columns_);
      tile.offsets = offsets->data();
      tile.starts = weights_->starts.data();
      tile.weights = weights_->values.data();
      tile.bias = bias;
      tile.y = computed + at * static_cast<size_t>(step * features_);
      tile.row_stride = step;
      tile.groups = weights_->groups;
      tile.rows = weights_->rows;
      tile.k_blocks = weights_->k_blocks;
      tile.begin = bounds[i % parts];
      tile.end = bounds[i % parts + 1];
      tile.vectors = stretch.vectors;
      tile.last_in = tile.last_out = stretch.last;
      tile.low = -std::numeric_limits<float>::infinity();
      tile.high = std::numeric_limits<float>::infinity();
      if (tile.k_blocks > 1) tile.partial = thread_scratch(kPartial, static_cast<size_t>(tile.end - tile.begin) * static_cast<size_t>(stretch.vectors * width));
      kernels().tile(weights_->block, tile);
      const int64_t first = static_cast<int64_t>(tile.begin) * weights_->block;
      const int64_t last = std::min<int64_t>(features_, static_cast<int64_t>(tile.end) * weights_->block);
      put_back(tile.y, step, first, last, residual, y, stretch.from, std::min(rows, stretch.from + stretch.vectors * width));
    });
  }

  // Rows become columns; the columns beyond the last row are zero.
  void turn(const float* x, int64_t rows, float* to, int64_t step, int64_t filled) const {
    constexpr int64_t kSide = 16;
    for (int64_t k0 = 0; k0 < columns_; k0 += kSide) {
      const int64_t k1 = std::min(columns_, k0 + kSide);
      for (int64_t r0 = 0; r0 < rows; r0 += kSide)
        for (int64_t k = k0; k < k1; ++k)
          for (int64_t r = r0; r < std::min(rows, r0 + kSide); ++r) to[k * step + r] = x[r * columns_ + k];
      for (int64_t k = k0; k < k1; ++k) std::fill(to + k * step + rows, to + k * step + filled, 0.0f);
    }
  }

  void put_back(const float* from, int64_t step, int64_t first, int64_t last, const float* residual, float* y, int64_t begin, int64_t end) const {
    constexpr int64_t kSide = 16;
    for (int64_t m0 = first; m0 < last; m0 += kSide)
      for (int64_t r = begin; r < end; ++r)
        for (int64_t m = m0; m < std::min(last, m0 + kSide); ++m) {
          float value = from[m * step + r - begin];
          if (residual) value += residual[r * features_ + m];
          value = value < clamp_.low ? clamp_.low : value;
          y[r * features_ + m] = value > clamp_.high ? clamp_.high : value;
        }
  }

  int64_t features_, columns_;
  Clamp clamp_;
  std::shared_ptr<const Weights> weights_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const std::vector<int32_t>> offsets_;
  mutable int64_t step_ = 0;
};

}  // namespace

std::unique_ptr<Node> make_product(const Info& info) { return std::make_unique<Product>(info); }

}  // namespace compress_sparse
