// Y = clamp(W X + bias + residual) for columns that lie anywhere in memory: the work is cut into tiles and shared out.
#ifndef COMPRESS_SPARSE_PRODUCT_H
#define COMPRESS_SPARSE_PRODUCT_H

#include <stdint.h>

#include <vector>

#include "kernels.h"
#include "weights.h"

namespace compress_sparse {

struct Clamp {
  float low, high;
};

// Columns of one picture: element k of column j is x[offsets[k] + j]; [0, length) are computed.
struct Columns {
  int64_t length;
  int64_t pitch;      // every pitch-th run of columns is a row of the output ...
  int64_t run;        // ... of which the first `run` are wanted; pitch == run: all are
  bool may_overlap;   // the last vector may start earlier so that nothing beyond `length` is read or written
};

// One tile of columns, found beforehand for a number of columns and a kernel.
struct Stretch {
  int64_t from;
  int32_t vectors;
  int32_t last;
  std::vector<Segment> segments;
};

// Tiles that cover the columns, of even size.
std::vector<Stretch> stretches(const Columns& columns, int32_t block, const Kernels& kernels);

// Where each weight's column of X starts, when element k of a column lies at places[k].
std::vector<int32_t> resolved(const Weights& weights, const std::vector<int32_t>& places);

// In how many tasks a product should come at least, for the threads that this machine has; sessions do not tell theirs.
int64_t wanted_tasks();

// In how many parts the rows come beside that many tiles of columns, so that no thread of the machine idles for long.
int64_t wanted_parts(int64_t tiles);

// Boundaries of row groups so that parts have about equal work; parts + 1 numbers.
std::vector<int32_t> shares(const Weights& weights, int32_t parts);

}  // namespace compress_sparse

#endif
