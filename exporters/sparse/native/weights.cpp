#include "weights.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>

namespace compress_sparse {
namespace {

// Single rows reuse nothing of X but what stays in the first cache: they are taken in blocks of columns.
constexpr uint32_t kColumnsAtATime = 96;

using Key = std::tuple<uint64_t, uint64_t, int64_t, int64_t, int64_t, int64_t, size_t>;

uint64_t mixed(uint64_t hash, uint64_t word) {
  hash ^= word;
  hash *= 0x9E3779B97F4A7C15ull;
  return hash ^ (hash >> 29);
}

uint64_t hashed(uint64_t seed, const void* data, size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(data);
  uint64_t hash = mixed(seed, bytes);
  for (; bytes >= 8; at += 8, bytes -= 8) {
    uint64_t word;
    __builtin_memcpy(&word, at, 8);
    hash = mixed(hash, word);
  }
  uint64_t rest = 0;
  __builtin_memcpy(&rest, at, bytes);
  return mixed(hash, rest);
}

Key key_of(const Stored& stored) {
  const auto hash = [&](uint64_t seed) {
    return hashed(hashed(seed, stored.mask, stored.mask_bytes), stored.values, stored.value_count * sizeof(float));
  };
  return {hash(1), hash(0x5851F42D4C957F2Dull), stored.rows, stored.columns, stored.block, stored.channel_groups, stored.value_count};
}

std::string check(const Stored& stored) {
  const auto& s = stored;
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  if (s.block != 1 && s.block != 2 && s.block != 4) return "block must be 1, 2 or 4, not " + std::to_string(s.block);
  if (s.rows < 1 || s.columns < 1 || s.channel_groups < 1 || s.rows > limit || s.columns > limit || s.channel_groups > limit)
    return "sizes must be positive and below 2^31";
  if (s.rows % s.channel_groups) return std::to_string(s.rows) + " rows cannot be shared out to " + std::to_string(s.channel_groups) + " groups";
  if (s.channel_groups > 1 && (s.rows / s.channel_groups) % s.block)
    return "rows of a group of channels must be a multiple of the block";
  if (s.columns * s.channel_groups > limit) return "too many columns";
  const uint64_t row_groups = static_cast<uint64_t>((s.rows + s.block - 1) / s.block);
  const uint64_t bits = row_groups * static_cast<uint64_t>(s.columns);
  if (bits > static_cast<uint64_t>(limit)) return "too many weights";
  if (s.mask_bytes != (bits + 7) / 8)
    return "the mask has " + std::to_string(s.mask_bytes) + " bytes where " + std::to_string((bits + 7) / 8) + " are needed";
  uint64_t set = 0;
  for (size_t i = 0; i < s.mask_bytes; ++i) set += static_cast<uint64_t>(__builtin_popcount(s.mask[i]));
  for (uint64_t bit = bits; bit < s.mask_bytes * 8; ++bit)
    if (s.mask[bit / 8] >> (bit % 8) & 1) return "bits beyond the mask's end are set";
  if (set * static_cast<uint64_t>(s.block) != s.value_count)
    return "the mask has " + std::to_string(set) + " set bits, which need " + std::to_string(set * static_cast<uint64_t>(s.block)) +
           " values; there are " + std::to_string(s.value_count);
  return "";
}

std::shared_ptr<const Weights> unpacked(const Stored& s) {
  auto out = std::make_shared<Weights>();
  const auto columns = static_cast<uint32_t>(s.columns);
  const auto block = static_cast<size_t>(s.block);
  const auto groups = static_cast<uint32_t>((s.rows + s.block - 1) / s.block);
  const uint32_t blocks = s.block == 1 ? (columns + kColumnsAtATime - 1) / kColumnsAtATime : 1;
  const uint32_t at_a_time = (columns + blocks - 1) / blocks;
  const uint32_t k_blocks = (columns + at_a_time - 1) / at_a_time;
  out->rows = static_cast<int32_t>(s.rows);
  out->block = static_cast<int32_t>(s.block);
  out->groups = static_cast<int32_t>(groups);
  out->k_blocks = static_cast<int32_t>(k_blocks);
  out->per_block = at_a_time;
  out->columns = columns;

  const auto is_set = [&](uint32_t group, uint32_t k) {
    const uint64_t bit = static_cast<uint64_t>(group) * columns + k;
    return (s.mask[bit / 8] >> (bit % 8) & 1) != 0;
  };
  std::vector<uint32_t>& starts = out->starts;
  starts.assign(static_cast<size_t>(k_blocks) * groups + 1, 0);
  for (uint32_t g = 0; g < groups; ++g)
    for (uint32_t k = 0; k < columns; ++k) starts[static_cast<size_t>(k / at_a_time) * groups + g + 1] += is_set(g, k);
  for (size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];

  std::vector<uint32_t> next(starts.begin(), starts.end() - 1);
  out->indices.resize(starts.back());
  out->values.resize(starts.back() * block);
  const float* value = s.values;
  for (uint32_t g = 0; g < groups; ++g) {
    for (uint32_t k = 0; k < columns; ++k) {
      if (!is_set(g, k)) continue;
      const uint32_t to = next[static_cast<size_t>(k / at_a_time) * groups + g]++;
      out->indices[to] = k;
      std::copy(value, value + block, out->values.begin() + static_cast<ptrdiff_t>(to * block));
      value += block;
    }
  }
  return out;
}

}  // namespace

std::shared_ptr<const Weights> unpack(const Stored& stored, std::string* fault) {
  *fault = check(stored);
  if (!fault->empty()) return nullptr;
  static std::mutex mutex;
  static std::map<Key, std::weak_ptr<const Weights>> known;
  const Key key = key_of(stored);
  std::lock_guard<std::mutex> lock(mutex);
  if (auto shared = known[key].lock()) return shared;
  for (auto it = known.begin(); it != known.end();) it = it->second.expired() ? known.erase(it) : std::next(it);
  auto made = unpacked(stored);
  known[key] = made;
  return made;
}

}  // namespace compress_sparse
