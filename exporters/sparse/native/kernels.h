// What one instruction set's kernels compute; plain data only, since each set is compiled on its own.
#ifndef COMPRESS_SPARSE_KERNELS_H
#define COMPRESS_SPARSE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

namespace compress_sparse {

// Columns [from, from + length) of a computed row go to [to, to + length) of the output row.
struct Segment {
  int32_t from;
  int32_t to;
  int32_t length;
};

// A block of columns of Y = clamp(W X + bias + residual), for a range of rows.
//
// W is held by rows in groups of `block`: group g of k-block b has its elements at [starts[b * groups + g],
// starts[b * groups + g + 1]): element i multiplies x[offsets[i] + j] of column j by weights[i * block + row].
struct Tile {
  const float* x;
  const uint32_t* starts;
  const int32_t* offsets;
  const float* weights;
  const float* bias;      // one a row, or null
  const float* residual;  // laid out as y, or null
  float* y;
  // Not null: column k of x lies at places[k], and those of one k-block at a time (per_block of all `columns`) are first
  // copied to `copy`, aligned and `pitch` floats apart; offsets are then those in the copy. Pieces, where there are any,
  // are what a column is put together from, in order; up to a vector more may be read behind each, and written.
  const int32_t* places;
  const Segment* pieces;
  float* copy;
  int32_t piece_count;
  int32_t columns, per_block, pitch;
  ptrdiff_t row_stride;  // of y and residual, in floats
  float* partial;        // scratch for (end - begin) * block * vectors * width floats; only where k_blocks > 1
  const Segment* segments;
  int32_t segment_count;  // 0: the columns go to y as they are
  bool far;               // y is beyond the second cache: where the next tile writes and adds is fetched while this one is computed
  int32_t groups, begin, end;
  int32_t rows;  // of W; the last group may have fewer than `block`
  int32_t k_blocks;
  int32_t vectors;   // 1 .. Kernels::most_vectors(block)
  int32_t last_in;   // columns at which the last vector starts in x and in y: it may overlap the one before
  int32_t last_out;
  float low, high;   // -inf, +inf: no clamping
};

// y[m] = clamp(sum_k W[m, k] x[k] + bias[m] + residual[m]) for the groups [begin, end): a single column.
struct Vector {
  const float* x;
  const uint32_t* starts;
  const uint32_t* indices;
  const float* weights;
  const float* bias;
  const float* residual;
  float* y;
  int32_t groups, begin, end, rows, k_blocks;
  float low, high;
};

// Channels laid out with zeros around them: row r of a plane holds row first_row + r * row_step of the channel, if that is
// one of its `height` rows, from column first_column on, every column_step-th, `real` of them; then zeros up to `pitch`.
struct Planes {
  const float* from;  // height * width floats each
  float* to;
  int64_t count, to_step;
  int64_t height, width, first_row, row_step, first_column, column_step, rows, real, pitch, margin;
  bool zeroed;  // what is not of a channel is zero already
};

// Channels with a filter each, weights [starts[c], starts[c + 1]) of channel c:
// y[row][column] = clamp(sum_t weights[t] x[offsets[t] + row * pitch + column] + bias + residual).
struct Depthwise {
  const float* x;
  int64_t count, x_step;
  const uint32_t* starts;
  const int32_t* offsets;
  const float* weights;
  const float* bias;      // one a channel, or null
  const float* residual;  // laid out as y, or null
  float* y;               // rows without gaps
  int64_t rows, columns, pitch;
  int64_t side;  // 3 or 5: the taps are a square of neighbours, by rows; 0: any
  int64_t step;  // in x from one row and column of y to the next: 1, or 2 where there is a side
  float low, high;
};

struct Kernels {
  const char* name;
  int32_t width;            // floats in a vector
  int32_t most_vectors[3];  // in a tile, for blocks of 1, 2 and 4 rows
  void (*tile)(int32_t block, const Tile&);
  void (*vector)(int32_t block, const Vector&);
  void (*lay)(const Planes&);
  void (*depthwise)(const Depthwise&);
};

const Kernels* baseline_kernels();
#if defined(__x86_64__)
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
#endif

// The quickest that this processor runs; COMPRESS_SPARSE_ISA=baseline|avx2|avx512 asks for a lesser one.
const Kernels& kernels();

}  // namespace compress_sparse

#endif
