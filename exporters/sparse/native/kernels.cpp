// Sparse rows times dense columns, compiled once for each instruction set (ISA names it, WIDTH is its floats a vector).
//
// Nothing of the standard library may be used here: an inline function of it, compiled for a newer instruction set,
// could be the one copy that the linker keeps for all.
#include "kernels.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

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

// The greater and the lesser of two; `value` where it is not a number, as in ONNX Runtime. Compilers do not find the
// instructions for vectors of floats by themselves.
template <typename Value>
inline Value greater(Value bound, Value value) { return bound > value ? bound : value; }
template <typename Value>
inline Value lesser(Value bound, Value value) { return bound < value ? bound : value; }
#if defined(__SSE2__)
inline VectorOf<4>::Type greater(VectorOf<4>::Type bound, VectorOf<4>::Type value) { return _mm_max_ps(bound, value); }
inline VectorOf<4>::Type lesser(VectorOf<4>::Type bound, VectorOf<4>::Type value) { return _mm_min_ps(bound, value); }
#endif
#if defined(__AVX__)
inline VectorOf<8>::Type greater(VectorOf<8>::Type bound, VectorOf<8>::Type value) { return _mm256_max_ps(bound, value); }
inline VectorOf<8>::Type lesser(VectorOf<8>::Type bound, VectorOf<8>::Type value) { return _mm256_min_ps(bound, value); }
#endif
#if defined(__AVX512F__)
inline VectorOf<16>::Type greater(VectorOf<16>::Type bound, VectorOf<16>::Type value) { return _mm512_max_ps(bound, value); }
inline VectorOf<16>::Type lesser(VectorOf<16>::Type bound, VectorOf<16>::Type value) { return _mm512_min_ps(bound, value); }
#endif

template <typename Value>
inline Value clamped(Value value, float low, float high) {
  return lesser(Value{} + high, greater(Value{} + low, value));
}

// Keeps a value that is used several times in a register, where compilers would rather load it again for each use.
template <typename Value>
inline void keep(Value& value) {
  if constexpr (sizeof(Value) >= 16) {
#if defined(__AVX512F__)
    __asm__("" : "+v"(value));
#elif defined(__SSE2__)
    __asm__("" : "+x"(value));
#elif defined(__aarch64__)
    __asm__("" : "+w"(value));
#endif
  }
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

template <int FLOATS>
inline void rows_of(const float* from, float* to, int64_t rows, int64_t width, int64_t pitch, int64_t real) {
  for (; rows > 0; --rows, from += width, to += pitch) {
    const auto first = load_of<FLOATS>(from), last = load_of<FLOATS>(from + real - FLOATS);
    store_of<FLOATS>(to, first);
    store_of<FLOATS>(to + real - FLOATS, last);
  }
}

// Rows and columns next to each other, onto planes that have their zeros.
inline void lay_within(const Planes& planes, const float* channel, float* plane) {
  const int64_t before = planes.first_row < 0 ? -planes.first_row : 0;
  const int64_t left = planes.height - planes.first_row, end = planes.rows < left ? planes.rows : left;
  const float* from = channel + (planes.first_row + before) * planes.width + planes.first_column;
  float* to = plane + planes.margin + before * planes.pitch;
  const int64_t rows = end - before, real = planes.real;
  if (real >= 4 && real < 8) return rows_of<4>(from, to, rows, planes.width, planes.pitch, real);
  if (real >= 8 && real < 16) return rows_of<8>(from, to, rows, planes.width, planes.pitch, real);
  for (int64_t row = 0; row < rows; ++row) cover<WIDTH>(real, Copy{from + row * planes.width, to + row * planes.pitch});
}

void lay_one(const Planes& planes, const float* channel, float* to) {
  if (!planes.zeroed)
    for (int64_t i = 0; i < planes.margin; ++i) to[i] = 0;
  to += planes.margin;
  for (int64_t row = 0; row < planes.rows; ++row, to += planes.pitch) {
    const int64_t y = planes.first_row + row * planes.row_step;
    int64_t copied = 0;
    if (y >= 0 && y < planes.height) {
      const float* const from = channel + y * planes.width + planes.first_column;
      copied = planes.real;
      if (planes.column_step == 1) {
        cover<WIDTH>(copied, Copy{from, to});
      } else if (planes.column_step == 2) {
        cover<8>(copied, CopyEven{from, to});
      } else {
        for (int64_t i = 0; i < copied; ++i) to[i] = from[i * planes.column_step];
      }
    }
    if (!planes.zeroed)
      for (; copied < planes.pitch; ++copied) to[copied] = 0;
  }
}

void lay(const Planes& planes) {
  const bool within = planes.zeroed && planes.row_step == 1 && planes.column_step == 1;
  const float* channel = planes.from;
  float* to = planes.to;
  for (int64_t i = 0; i < planes.count; ++i, channel += planes.height * planes.width, to += planes.to_step)
    within ? lay_within(planes, channel, to) : lay_one(planes, channel, to);
}

void vector(int32_t block, const Vector& work) {
  if (block == 1) return vector_of<1>(work);
  if (block == 2) return vector_of<2>(work);
  return vector_of<4>(work);
}

// Every second element, from the first on.
template <int FLOATS>
inline typename VectorOf<FLOATS / 2>::Type even_of(typename VectorOf<FLOATS>::Type value) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
  if constexpr (FLOATS == 16) return __builtin_shufflevector(value, value, 0, 2, 4, 6, 8, 10, 12, 14);
  if constexpr (FLOATS == 8) return __builtin_shufflevector(value, value, 0, 2, 4, 6);
#endif
#endif
  typename VectorOf<FLOATS / 2>::Type even;
  for (int i = 0; i < FLOATS / 2; ++i) even[i] = value[2 * i];
  return even;
}

struct Filter {
  const float* x;
  const int32_t* offsets;
  const float* weights;
  int64_t taps;
  float bias;
  const float* residual;
  float* y;
  int64_t rows, columns, pitch;
  float low, high;
};

// Some rows of y of one channel. SIDE of a square filter without gaps, whose rows of x serve several rows of y from a
// register, or 0; STEP from one row of y to the next, in rows of x.
template <int ROWS, int SIDE, int STEP>
struct FilterColumns {
  const Filter& work;
  int64_t row;

  template <int FLOATS>
  inline void sum(int64_t column, typename VectorOf<FLOATS>::Type (&sums)[ROWS]) const {
    using Some = typename VectorOf<FLOATS>::Type;
    const float* const x = work.x + row * STEP * work.pitch + column;
    UNROLL for (int r = 0; r < ROWS; ++r) sums[r] = Some{} + work.bias;
    if constexpr (SIDE > 0) {
      const float* const from = x + work.offsets[0];
      UNROLL for (int kx = 0; kx < SIDE; ++kx) {
        Some weights[SIDE];
        UNROLL for (int ky = 0; ky < SIDE; ++ky) weights[ky] = Some{} + work.weights[ky * SIDE + kx];
        UNROLL for (int r = 0; r < (ROWS - 1) * STEP + SIDE; ++r) {
          Some value = load_of<FLOATS>(from + r * work.pitch + kx);
          keep(value);
          UNROLL for (int ky = 0; ky < SIDE; ++ky) {
            if (r >= ky && (r - ky) % STEP == 0 && (r - ky) / STEP < ROWS) sums[(r - ky) / STEP] += weights[ky] * value;
          }
        }
      }
    } else {
      for (int64_t t = 0; t < work.taps; ++t) {
        const Some weight = Some{} + work.weights[t];
        const float* const from = x + work.offsets[t];
        UNROLL for (int r = 0; r < ROWS; ++r) sums[r] += weight * load_of<FLOATS>(from + r * work.pitch);
      }
    }
  }

  // Calls put(r, FLOATS columns of row r of y) before addition and clamp.
  template <int FLOATS, typename Put>
  inline void computed(int64_t column, const Put& put) const {
    typename VectorOf<FLOATS * STEP>::Type sums[ROWS];
    sum<FLOATS * STEP>(column * STEP, sums);
    UNROLL for (int r = 0; r < ROWS; ++r) {
      if constexpr (STEP == 2) put(r, even_of<FLOATS * STEP>(sums[r]));
      else put(r, sums[r]);
    }
  }

  template <int FLOATS>
  inline void at(int64_t column) const {
    computed<FLOATS>(column, [&](int r, auto value) {
      const int64_t to = (row + r) * work.columns + column;
      if (work.residual) value += load_of<FLOATS>(work.residual + to);
      store_of<FLOATS>(work.y + to, clamped(value, work.low, work.high));
    });
  }

  // Rows narrower than the vector: what is written behind one is overwritten by the next; behind the last nothing is.
  template <int FLOATS>
  inline void narrow() const {
    computed<FLOATS>(0, [&](int r, auto value) {
      float* const to = work.y + (row + r) * work.columns;
      value = clamped(value, work.low, work.high);
      if (row + r + 1 < work.rows) return store_of<FLOATS>(to, value);
      float last[FLOATS];
      store_of<FLOATS>(last, value);
      cover<FLOATS / 2>(work.columns, Copy{last, to});
    });
  }
};

template <int SIDE, int STEP>
struct FilterRows {
  // Of y; the widest vectors are of x.
  static constexpr int kFloats = WIDTH / STEP;
  const Filter& work;
  template <int ROWS>
  inline void at(int64_t row) const {
    const FilterColumns<ROWS, SIDE, STEP> columns{work, row};
    if (!work.residual && work.columns < kFloats && work.columns > kFloats / 2) return columns.template narrow<kFloats>();
    if constexpr (kFloats > 8) {
      if (!work.residual && work.columns < 8 && work.columns > 4) return columns.template narrow<8>();
    }
    cover<kFloats>(work.columns, columns);
  }
};

template <int SIDE, int STEP>
void filter(const Depthwise& work) {
  const int64_t pixels = work.rows * work.columns;
  for (int64_t c = 0; c < work.count; ++c) {
    const uint32_t first = work.starts[c];
    const Filter filter{work.x + c * work.x_step, work.offsets + first, work.weights + first, work.starts[c + 1] - first,
                        work.bias ? work.bias[c] : 0.0f, work.residual ? work.residual + c * pixels : nullptr, work.y + c * pixels,
                        work.rows, work.columns, work.pitch, work.low, work.high};
    cover<8 / STEP>(work.rows, FilterRows<SIDE, STEP>{filter});
  }
}

void depthwise(const Depthwise& work) {
  if (work.side == 3) return work.step == 2 ? filter<3, 2>(work) : filter<3, 1>(work);
  if (work.side == 5) return work.step == 2 ? filter<5, 2>(work) : filter<5, 1>(work);
  filter<0, 1>(work);
}

#define NAME_OF(name) #name
#define NAMED(name) NAME_OF(name)
#define JOIN_OF(a, b) a##b
#define JOIN(a, b) JOIN_OF(a, b)

const Kernels kKernels = {NAMED(ISA), WIDTH, {kMost[0], kMost[1], kMost[2]}, tile, vector, lay, depthwise};

}  // namespace

const Kernels* JOIN(ISA, _kernels)() { return &kKernels; }

}  // namespace compress_sparse
