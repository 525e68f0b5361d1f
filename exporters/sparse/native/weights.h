// Sparse weights as they are executed: checked, unpacked from the file's compact form, shared by equal content.
#ifndef COMPRESS_SPARSE_WEIGHTS_H
#define COMPRESS_SPARSE_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

namespace compress_sparse {

// What the file holds: a bit for each group of `block` rows and each column k, in rows of groups (bit i of byte i / 8,
// least significant first), and for each set bit `block` values. Rows beyond `rows` in the last group have zeros.
struct Stored {
  const uint8_t* mask;
  size_t mask_bytes;
  const float* values;
  size_t value_count;
  int64_t rows;
  int64_t columns;         // of a row of W: channels of a group of channels, times the kernel's places
  int64_t block;           // 1, 2 or 4
  int64_t channel_groups;  // of a grouped convolution; rows are laid out group by group
};

struct Weights {
  int32_t rows, block, groups, k_blocks;
  uint32_t per_block;  // columns of a k-block; the last may have fewer
  uint32_t columns;  // indices are below it; those of a grouped convolution count within their group of channels
  std::vector<uint32_t> starts;   // k_blocks * groups + 1
  std::vector<uint32_t> indices;
  std::vector<float> values;
};

// Unpacks; on a fault returns null and says why. Equal weights that are still in use elsewhere in the process are shared.
std::shared_ptr<const Weights> unpack(const Stored& stored, std::string* fault);

}  // namespace compress_sparse

#endif
