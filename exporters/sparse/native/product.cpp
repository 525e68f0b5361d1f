#include "product.h"

#include <algorithm>
#include <thread>

namespace compress_sparse {
namespace {

void wanted(const Columns& columns, Stretch* stretch, int32_t computed) {
  const int64_t from = stretch->from, to = std::min(columns.length, from + computed);
  for (int64_t row = from / columns.pitch; row * columns.pitch < to; ++row) {
    const int64_t first = std::max(from, row * columns.pitch);
    const int64_t last = std::min(to, row * columns.pitch + columns.run);
    if (first >= last) continue;
    const int64_t target = row * columns.run + (first - row * columns.pitch);
    stretch->segments.push_back({static_cast<int32_t>(first - from), static_cast<int32_t>(target), static_cast<int32_t>(last - first)});
  }
}

}  // namespace

std::vector<Stretch> stretches(const Columns& columns, int32_t block, const Kernels& kernels) {
  const int64_t width = kernels.width;
  const int64_t most = kernels.most_vectors[block == 1 ? 0 : block == 2 ? 1 : 2];
  const int64_t vectors = (columns.length + width - 1) / width;
  const int64_t tiles = (vectors + most - 1) / most;
  std::vector<Stretch> found;
  for (int64_t i = 0, from = 0; i < tiles; ++i) {
    const int64_t count = vectors / tiles + (i >= tiles - vectors % tiles);
    Stretch stretch{from * width, static_cast<int32_t>(count), static_cast<int32_t>((count - 1) * width), {}};
    const int64_t over = stretch.from + count * width - columns.length;
    if (over > 0 && columns.may_overlap) {
      // The vector moves back, over the one before it; the last tile has more than one wherever there are several tiles.
      stretch.last -= static_cast<int32_t>(over);
      if (stretch.last < 0) {
        stretch.from += stretch.last;
        stretch.last = 0;
      }
    }
    from += count;
    if (columns.pitch != columns.run || (over > 0 && !columns.may_overlap)) {
      wanted(columns, &stretch, stretch.last + static_cast<int32_t>(width));
      if (stretch.segments.empty()) continue;  // it lies between two rows of the output
    }
    found.push_back(std::move(stretch));
  }
  return found;
}

std::vector<int32_t> resolved(const Weights& weights, const std::vector<int32_t>& places) {
  std::vector<int32_t> found(weights.indices.size());
  for (size_t i = 0; i < found.size(); ++i) found[i] = places[weights.indices[i]];
  return found;
}

int64_t wanted_tasks() {
  static const int64_t found = std::min<int64_t>(8, std::max<int64_t>(1, std::thread::hardware_concurrency()));
  return found;
}

int64_t wanted_parts(int64_t tiles) {
  constexpr double kIdle = 1.07;
  const int64_t threads = wanted_tasks();
  int64_t parts = 1;
  for (; parts < threads; ++parts) {
    const int64_t tasks = tiles * parts, turns = (tasks + threads - 1) / threads;
    if (static_cast<double>(turns * threads) <= kIdle * static_cast<double>(tasks)) break;
  }
  return parts;
}

std::vector<int32_t> shares(const Weights& weights, int32_t parts) {
  parts = std::max(1, std::min(parts, weights.groups));
  std::vector<uint64_t> work(static_cast<size_t>(weights.groups) + 1, 0);
  for (int32_t g = 0; g < weights.groups; ++g) {
    uint64_t sum = 2;  // a row costs something even without weights
    for (int32_t b = 0; b < weights.k_blocks; ++b) {
      const size_t at = static_cast<size_t>(b) * static_cast<size_t>(weights.groups) + static_cast<size_t>(g);
      sum += weights.starts[at + 1] - weights.starts[at];
    }
    work[static_cast<size_t>(g) + 1] = work[static_cast<size_t>(g)] + sum;
  }
  std::vector<int32_t> bounds{0};
  for (int32_t part = 1; part < parts; ++part) {
    const uint64_t goal = work.back() * static_cast<uint64_t>(part) / static_cast<uint64_t>(parts);
    const auto at = std::lower_bound(work.begin(), work.end(), goal) - work.begin();
    bounds.push_back(std::max(bounds.back(), static_cast<int32_t>(at)));
  }
  bounds.push_back(weights.groups);
  return bounds;
}

}  // namespace compress_sparse
