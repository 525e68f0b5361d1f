// Sparse rows times a tile of dense columns, and times a single one.
#ifndef COMPRESS_SPARSE_TILES_H
#define COMPRESS_SPARSE_TILES_H

#include "vectors.h"

namespace compress_sparse {
namespace {

struct Finish {
  const float* from;
  const float* residual;
  float* to;
  float low, high;
  template <int FLOATS>
  inline void at(int64_t i) const {
    if constexpr (FLOATS == 1) {
      to[i] = clamped(residual ? from[i] + residual[i] : from[i], low, high);
    } else {
      auto value = load_of<FLOATS>(from + i);
      if (residual) value += load_of<FLOATS>(residual + i);
      store_of<FLOATS>(to + i, clamped(value, low, high));
    }
  }
};

// Where a tile's first and last vectors are read, less the offset of a column.
struct Source {
  const float* first;
  const float* last;
};

template <int VECTORS>
inline Source copied(const Tile& tile, int32_t block) {
  const int32_t from = block * tile.per_block;
  const int32_t to = from + tile.per_block < tile.columns ? from + tile.per_block : tile.columns;
  float* copy = tile.copy;
  for (int32_t k = from; k < to; ++k, copy += tile.pitch) {
    const float* const column = tile.x + tile.places[k];
    if (tile.piece_count) {
      for (int32_t p = 0; p < tile.piece_count; ++p) {
        const Segment piece = tile.pieces[p];
        for (int32_t i = 0; i < piece.length; i += WIDTH) store(copy + piece.to + i, load(column + piece.from + i));
      }
      continue;
    }
    UNROLL for (int t = 0; t < VECTORS - 1; ++t) store(copy + t * WIDTH, load(column + t * WIDTH));
    store(copy + (VECTORS - 1) * WIDTH, load(column + tile.last_in));
  }
  return {tile.copy, tile.copy + (tile.piece_count ? tile.last_in : (VECTORS - 1) * WIDTH)};
}

template <int BLOCK, int VECTORS>
struct Columns {
  // A multiply-add waits for the one before it on the same sums: small tiles have several sets of them in turn.
  static constexpr int kSets = BLOCK * VECTORS >= 8 ? 1 : BLOCK * VECTORS >= 4 ? 2 : 4;
  Floats sums[BLOCK][VECTORS];
  Floats more[kSets > 1 ? kSets - 1 : 1][BLOCK][VECTORS];

  inline void fill(int row, float value) {
    UNROLL for (int t = 0; t < VECTORS; ++t) sums[row][t] = all(value);
  }

  static inline void step(const Tile& tile, const Source& x, uint32_t i, Floats (&into)[BLOCK][VECTORS]) {
    const ptrdiff_t offset = tile.offsets[i];
    const float* const weights = tile.weights + static_cast<size_t>(i) * BLOCK;
    const float* const column = x.first + offset;
    if (BLOCK == 1) {
      const Floats weight = all(weights[0]);
      UNROLL for (int t = 0; t < VECTORS - 1; ++t) into[0][t] += weight * load(column + t * WIDTH);
      into[0][VECTORS - 1] += weight * load(x.last + offset);
    } else {
      UNROLL for (int t = 0; t < VECTORS; ++t) {
        const Floats value = load(t == VECTORS - 1 ? x.last + offset : column + t * WIDTH);
        UNROLL for (int row = 0; row < BLOCK; ++row) into[row][t] += all(weights[row]) * value;
      }
    }
  }

  inline void add(const Tile& tile, const Source& x, uint32_t from, uint32_t to) {
    uint32_t i = from;
    if (kSets > 1) {
      UNROLL for (int set = 1; set < kSets; ++set)
        UNROLL for (int row = 0; row < BLOCK; ++row)
          UNROLL for (int t = 0; t < VECTORS; ++t) more[set - 1][row][t] = Floats{};
      for (; i + kSets <= to; i += kSets) {
        step(tile, x, i, sums);
        UNROLL for (int set = 1; set < kSets; ++set) step(tile, x, i + static_cast<uint32_t>(set), more[set - 1]);
      }
      UNROLL for (int set = 1; set < kSets; ++set)
        UNROLL for (int row = 0; row < BLOCK; ++row)
          UNROLL for (int t = 0; t < VECTORS; ++t) sums[row][t] += more[set - 1][row][t];
    }
    for (; i < to; ++i) step(tile, x, i, sums);
  }

  inline void put(const Tile& tile, int row, ptrdiff_t m) const {
    if (tile.segment_count) return put_segments(tile, row, m);
    float* const y = tile.y + m * tile.row_stride;
    const float* const residual = tile.residual ? tile.residual + m * tile.row_stride : nullptr;
    UNROLL for (int t = 0; t < VECTORS; ++t) {
      const ptrdiff_t column = t == VECTORS - 1 ? tile.last_out : t * WIDTH;
      Floats value = sums[row][t];
      if (residual) value += load(residual + column);
      store(y + column, clamped(value, tile.low, tile.high));
      if (tile.far) ahead(y + column + VECTORS * WIDTH);
      if (tile.far && residual) ahead(residual + column + VECTORS * WIDTH);
    }
  }

  inline void put_segments(const Tile& tile, int row, ptrdiff_t m) const {
    float computed[VECTORS * WIDTH];
    UNROLL for (int t = 0; t < VECTORS; ++t) store(computed + (t == VECTORS - 1 ? tile.last_out : t * WIDTH), sums[row][t]);
    for (int32_t s = 0; s < tile.segment_count; ++s) {
      const Segment segment = tile.segments[s];
      const ptrdiff_t at = m * tile.row_stride + segment.to;
      cover<WIDTH>(segment.length, Finish{computed + segment.from, tile.residual ? tile.residual + at : nullptr, tile.y + at, tile.low, tile.high});
      if (tile.far)
        for (int32_t i = 0; i < segment.length; i += WIDTH) ahead(tile.y + at + VECTORS * WIDTH + i);
    }
  }
};

template <int BLOCK, int VECTORS>
void tile_of(const Tile& tile) {
  for (int32_t b = 0; b < tile.k_blocks; ++b) {
    const uint32_t* const starts = tile.starts + static_cast<size_t>(b) * tile.groups;
    const Source x = tile.places ? copied<VECTORS>(tile, b) : Source{tile.x, tile.x + tile.last_in};
    for (int32_t g = tile.begin; g < tile.end; ++g) {
      Columns<BLOCK, VECTORS> columns;
      float* const partial = tile.partial + static_cast<size_t>(g - tile.begin) * BLOCK * VECTORS * WIDTH;
      const int32_t left = tile.rows - g * BLOCK;
      UNROLL for (int row = 0; row < BLOCK; ++row) {
        if (b == 0) {
          columns.fill(row, tile.bias && row < left ? tile.bias[g * BLOCK + row] : 0.0f);
        } else {
          UNROLL for (int t = 0; t < VECTORS; ++t) columns.sums[row][t] = load(partial + (row * VECTORS + t) * WIDTH);
        }
      }
      columns.add(tile, x, starts[g], starts[g + 1]);
      UNROLL for (int row = 0; row < BLOCK; ++row) {
        if (b + 1 < tile.k_blocks) {
          UNROLL for (int t = 0; t < VECTORS; ++t) store(partial + (row * VECTORS + t) * WIDTH, columns.sums[row][t]);
        } else if (row < left) {
          columns.put(tile, row, g * BLOCK + row);
        }
      }
    }
  }
}

template <int BLOCK>
void vector_of(const Vector& vector) {
  for (int32_t g = vector.begin; g < vector.end; ++g) {
    float sums[4][BLOCK] = {};
    for (int32_t b = 0; b < vector.k_blocks; ++b) {
      const uint32_t* const starts = vector.starts + static_cast<size_t>(b) * vector.groups;
      uint32_t i = starts[g];
      for (; i + 4 <= starts[g + 1]; i += 4) {
        UNROLL for (int lane = 0; lane < 4; ++lane) {
          const float value = vector.x[vector.indices[i + lane]];
          UNROLL for (int row = 0; row < BLOCK; ++row)
            sums[lane][row] += vector.weights[static_cast<size_t>(i + lane) * BLOCK + row] * value;
        }
      }
      for (; i < starts[g + 1]; ++i) {
        const float value = vector.x[vector.indices[i]];
        UNROLL for (int row = 0; row < BLOCK; ++row) sums[0][row] += vector.weights[static_cast<size_t>(i) * BLOCK + row] * value;
      }
    }
    for (int row = 0; row < BLOCK; ++row) {
      const int32_t m = g * BLOCK + row;
      if (m >= vector.rows) break;
      float value = (sums[0][row] + sums[1][row]) + (sums[2][row] + sums[3][row]);
      if (vector.bias) value += vector.bias[m];
      if (vector.residual) value += vector.residual[m];
      vector.y[m] = clamped(value, vector.low, vector.high);
    }
  }
}

// Sums of a tile must stay in registers: 32 vector registers (AVX-512, NEON), or 16.
#if WIDTH == 16
constexpr int kMost[3] = {8, 8, 6};
#elif defined(__aarch64__)
constexpr int kMost[3] = {16, 12, 6};
#else
constexpr int kMost[3] = {12, 5, 2};
#endif

using Run = void (*)(const Tile&);

template <int BLOCK, int MOST>
struct Runs {
  Run of[MOST + 1];
};
template <int BLOCK, int VECTORS, int MOST>
constexpr void fill(Runs<BLOCK, MOST>* runs) {
  runs->of[VECTORS] = tile_of<BLOCK, VECTORS>;
  if constexpr (VECTORS > 1) fill<BLOCK, VECTORS - 1, MOST>(runs);
}
template <int BLOCK, int MOST>
constexpr Runs<BLOCK, MOST> runs_of() {
  Runs<BLOCK, MOST> runs{};
  fill<BLOCK, MOST, MOST>(&runs);
  return runs;
}
constexpr auto kOfOne = runs_of<1, kMost[0]>();
constexpr auto kOfTwo = runs_of<2, kMost[1]>();
constexpr auto kOfFour = runs_of<4, kMost[2]>();

void tile(int32_t block, const Tile& work) {
  if (block == 1) return kOfOne.of[work.vectors](work);
  if (block == 2) return kOfTwo.of[work.vectors](work);
  kOfFour.of[work.vectors](work);
}

void vector(int32_t block, const Vector& work) {
  if (block == 1) return vector_of<1>(work);
  if (block == 2) return vector_of<2>(work);
  return vector_of<4>(work);
}

}  // namespace
}  // namespace compress_sparse

#endif
