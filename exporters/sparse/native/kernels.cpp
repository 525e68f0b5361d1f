// Sparse rows times dense columns, compiled once for each instruction set (ISA names it, WIDTH is its floats a vector).
//
// Nothing of the standard library may be used here: an inline function of it, compiled for a newer instruction set,
// could be the one copy that the linker keeps for all.
#include "kernels.h"

#ifndef ISA
#error "compile with -DISA=<name> -DWIDTH=<floats a vector>"
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

namespace compress_sparse {
namespace {

template <int FLOATS>
struct VectorOf {
  typedef float Type __attribute__((vector_size(FLOATS * 4), aligned(4), may_alias));
};
using Floats = VectorOf<WIDTH>::Type;

template <int FLOATS>
inline typename VectorOf<FLOATS>::Type load_of(const float* from) { return *reinterpret_cast<const typename VectorOf<FLOATS>::Type*>(from); }
template <int FLOATS>
inline void store_of(float* to, typename VectorOf<FLOATS>::Type value) { *reinterpret_cast<typename VectorOf<FLOATS>::Type*>(to) = value; }
inline Floats load(const float* from) { return *reinterpret_cast<const Floats*>(from); }
inline void store(float* to, Floats value) { *reinterpret_cast<Floats*>(to) = value; }
inline Floats all(float value) { return value - Floats{}; }

// Comparisons with NaN are false, so NaN stays, as in ONNX Runtime.
template <typename Value>
inline Value clamped(Value value, float low, float high) {
  value = value < low ? Value{} + low : value;
  return value > high ? Value{} + high : value;
}

// Calls what(i, floats) so that [0, length) is covered, by vectors where there is room: the last may overlap the one before.
template <int FLOATS, typename What>
inline void cover(int64_t length, const What& what) {
  if (length >= FLOATS) {
    int64_t i = 0;
    for (; i + FLOATS <= length; i += FLOATS) what.template at<FLOATS>(i);
    if (i < length) what.template at<FLOATS>(length - FLOATS);
  } else if constexpr (FLOATS > 4) {
    cover<FLOATS / 2>(length, what);
  } else {
    for (int64_t i = 0; i < length; ++i) what.template at<1>(i);
  }
}

struct Copy {
  const float* from;
  float* to;
  template <int FLOATS>
  inline void at(int64_t i) const {
    if constexpr (FLOATS == 1) to[i] = from[i];
    else store_of<FLOATS>(to + i, load_of<FLOATS>(from + i));
  }
};

// Every second element; [0, 2 * length) must be readable but for its last element.
struct CopyEven {
  const float* from;
  float* to;
  template <int FLOATS>
  inline void at(int64_t i) const {
    const float* const source = from + 2 * i;
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
    if constexpr (FLOATS == 8) {
      return store_of<8>(to + i, __builtin_shufflevector(load_of<8>(source), load_of<8>(source + 7), 0, 2, 4, 6, 9, 11, 13, 15));
    }
    if constexpr (FLOATS == 4) {
      return store_of<4>(to + i, __builtin_shufflevector(load_of<4>(source), load_of<4>(source + 3), 0, 2, 5, 7));
    }
#endif
#endif
    for (int k = 0; k < FLOATS; ++k) to[i + k] = source[2 * k];
  }
};

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

template <int BLOCK, int VECTORS>
struct Columns {
  // A multiply-add waits for the one before it on the same sums: small tiles have several sets of them in turn.
  static constexpr int kSets = BLOCK * VECTORS >= 8 ? 1 : BLOCK * VECTORS >= 4 ? 2 : 4;
  Floats sums[BLOCK][VECTORS];
  Floats more[kSets > 1 ? kSets - 1 : 1][BLOCK][VECTORS];

  inline void fill(int row, float value) {
    UNROLL for (int t = 0; t < VECTORS; ++t) sums[row][t] = all(value);
  }

  static inline void step(const Tile& tile, const float* x_last, uint32_t i, Floats (&into)[BLOCK][VECTORS]) {
    const ptrdiff_t offset = tile.offsets[i];
    const float* const weights = tile.weights + static_cast<size_t>(i) * BLOCK;
    const float* const column = tile.x + offset;
    if (BLOCK == 1) {
      const Floats weight = all(weights[0]);
      UNROLL for (int t = 0; t < VECTORS - 1; ++t) into[0][t] += weight * load(column + t * WIDTH);
      into[0][VECTORS - 1] += weight * load(x_last + offset);
    } else {
      UNROLL for (int t = 0; t < VECTORS; ++t) {
        const Floats value = load(t == VECTORS - 1 ? x_last + offset : column + t * WIDTH);
        UNROLL for (int row = 0; row < BLOCK; ++row) into[row][t] += all(weights[row]) * value;
      }
    }
  }

  inline void add(const Tile& tile, uint32_t from, uint32_t to) {
    const float* const x_last = tile.x + tile.last_in;
    uint32_t i = from;
    if (kSets > 1) {
      UNROLL for (int set = 1; set < kSets; ++set)
        UNROLL for (int row = 0; row < BLOCK; ++row)
          UNROLL for (int t = 0; t < VECTORS; ++t) more[set - 1][row][t] = Floats{};
      for (; i + kSets <= to; i += kSets) {
        step(tile, x_last, i, sums);
        UNROLL for (int set = 1; set < kSets; ++set) step(tile, x_last, i + static_cast<uint32_t>(set), more[set - 1]);
      }
      UNROLL for (int set = 1; set < kSets; ++set)
        UNROLL for (int row = 0; row < BLOCK; ++row)
          UNROLL for (int t = 0; t < VECTORS; ++t) sums[row][t] += more[set - 1][row][t];
    }
    for (; i < to; ++i) step(tile, x_last, i, sums);
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
    }
  }

  inline void put_segments(const Tile& tile, int row, ptrdiff_t m) const {
    float computed[VECTORS * WIDTH];
    UNROLL for (int t = 0; t < VECTORS; ++t) store(computed + (t == VECTORS - 1 ? tile.last_out : t * WIDTH), sums[row][t]);
    for (int32_t s = 0; s < tile.segment_count; ++s) {
      const Segment segment = tile.segments[s];
      const ptrdiff_t at = m * tile.row_stride + segment.to;
      cover<WIDTH>(segment.length, Finish{computed + segment.from, tile.residual ? tile.residual + at : nullptr, tile.y + at, tile.low, tile.high});
    }
  }
};

template <int BLOCK, int VECTORS>
void tile_of(const Tile& tile) {
  for (int32_t b = 0; b < tile.k_blocks; ++b) {
    const uint32_t* const starts = tile.starts + static_cast<size_t>(b) * tile.groups;
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
      columns.add(tile, starts[g], starts[g + 1]);
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

void lay(const Plane& plane) {
  float* to = plane.to;
  for (int64_t i = 0; i < plane.margin; ++i) *to++ = 0;
  for (int64_t row = 0; row < plane.rows; ++row, to += plane.pitch) {
    const int64_t y = plane.first_row + row * plane.row_step;
    int64_t copied = 0;
    if (y >= 0 && y < plane.height) {
      const float* const from = plane.from + y * plane.width + plane.first_column;
      copied = plane.real;
      if (plane.column_step == 1) {
        cover<WIDTH>(copied, Copy{from, to});
      } else if (plane.column_step == 2) {
        cover<8>(copied, CopyEven{from, to});
      } else {
        for (int64_t i = 0; i < copied; ++i) to[i] = from[i * plane.column_step];
      }
    }
    for (; copied < plane.pitch; ++copied) to[copied] = 0;
  }
}

void vector(int32_t block, const Vector& work) {
  if (block == 1) return vector_of<1>(work);
  if (block == 2) return vector_of<2>(work);
  return vector_of<4>(work);
}

template <int ROWS>
struct FilterColumns {
  const Depthwise& work;
  int64_t row;
  template <int FLOATS>
  inline void at(int64_t column) const {
    using Some = typename VectorOf<FLOATS>::Type;
    Some sums[ROWS];
    UNROLL for (int r = 0; r < ROWS; ++r) sums[r] = Some{} + work.bias;
    const float* const x = work.x + row * work.pitch + column;
    for (int64_t t = 0; t < work.taps; ++t) {
      const Some weight = Some{} + work.weights[t];
      const float* const from = x + work.offsets[t];
      UNROLL for (int r = 0; r < ROWS; ++r) sums[r] += weight * load_of<FLOATS>(from + r * work.pitch);
    }
    UNROLL for (int r = 0; r < ROWS; ++r) {
      const int64_t to = (row + r) * work.columns + column;
      if (work.residual) sums[r] += load_of<FLOATS>(work.residual + to);
      store_of<FLOATS>(work.y + to, clamped(sums[r], work.low, work.high));
    }
  }
};

struct FilterRows {
  const Depthwise& work;
  template <int ROWS>
  inline void at(int64_t row) const { cover<WIDTH>(work.columns, FilterColumns<ROWS>{work, row}); }
};

void depthwise(const Depthwise& work) { cover<8>(work.rows, FilterRows{work}); }

#define NAME_OF(name) #name
#define NAMED(name) NAME_OF(name)
#define JOIN_OF(a, b) a##b
#define JOIN(a, b) JOIN_OF(a, b)

const Kernels kKernels = {NAMED(ISA), WIDTH, {kMost[0], kMost[1], kMost[2]}, tile, vector, lay, depthwise};

}  // namespace

const Kernels* JOIN(ISA, _kernels)() { return &kKernels; }

}  // namespace compress_sparse
