// Channels laid out with zeros around them.
#ifndef COMPRESS_SPARSE_PLANES_H
#define COMPRESS_SPARSE_PLANES_H

#include "vectors.h"

namespace compress_sparse {
namespace {

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

}  // namespace
}  // namespace compress_sparse

#endif
