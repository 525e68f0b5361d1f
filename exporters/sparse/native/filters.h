// Channels with a filter each.
#ifndef COMPRESS_SPARSE_FILTERS_H
#define COMPRESS_SPARSE_FILTERS_H

#include "vectors.h"

namespace compress_sparse {
namespace {

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

}  // namespace
}  // namespace compress_sparse

#endif
