#include "operator.h"

#include <cstring>
#include <limits>

namespace compress_sparse {
namespace {

constexpr size_t kAlignment = 64;

void succeed(const Api& api, OrtStatus* status, const char* what) {
  if (!status) return;
  api.release(status);
  throw Fault(what);
}

struct Sizes {
  std::vector<int64_t> sizes;
  int type = 0;
};

Sizes sizes_of(const Api& api, const OrtValue* value) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  succeed(api, api.shape(value, &info), "an input is no tensor");
  const auto release = [&](OrtTensorTypeAndShapeInfo* it) { api.release(it); };
  std::unique_ptr<OrtTensorTypeAndShapeInfo, decltype(release)> owner(info, release);
  Sizes found;
  size_t rank = 0;
  succeed(api, api.rank(info, &rank), "an input has no shape");
  found.sizes.resize(rank);
  if (rank) succeed(api, api.sizes(info, found.sizes.data(), rank), "an input has no shape");
  succeed(api, api.element_type(info, &found.type), "an input has no element type");
  return found;
}

}  // namespace

int64_t count_of(const std::vector<int64_t>& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return count;
}

std::string text_of(const std::vector<int64_t>& sizes) {
  std::string text = "(";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + ")";
}

int64_t Info::integer(const char* name) const {
  int64_t value = 0;
  succeed(api_, api_.attribute(info_, name, &value), (std::string("attribute '") + name + "' is missing or no integer").c_str());
  return value;
}

int64_t Info::integer(const char* name, int64_t otherwise) const {
  int64_t value = otherwise;
  OrtStatus* status = api_.attribute(info_, name, &value);
  if (status) {
    api_.release(status);
    return otherwise;
  }
  return value;
}

Clamp Info::clamp() const {
  Clamp clamp{-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
  float value = 0;
  OrtStatus* status = api_.attribute(info_, "low", &value);
  if (!status) clamp.low = value;
  api_.release(status);
  status = api_.attribute(info_, "high", &value);
  if (!status) clamp.high = value;
  api_.release(status);
  if (!(clamp.low <= clamp.high)) throw Fault("attribute 'low' must not be above 'high'");
  return clamp;
}

std::shared_ptr<const Weights> Info::weights(int64_t rows, int64_t columns, int64_t channel_groups) const {
  const auto constant = [&](size_t index, int type, const char* name) {
    int is_constant = 0;
    const OrtValue* value = nullptr;
    succeed(api_, api_.constant(info_, index, &is_constant, &value), "the weights cannot be read");
    if (!is_constant || !value) throw Fault(std::string("input '") + name + "' must be an initializer");
    const Sizes sizes = sizes_of(api_, value);
    if (sizes.type != type) throw Fault(std::string("input '") + name + "' has the wrong element type");
    void* data = nullptr;
    succeed(api_, api_.data(const_cast<OrtValue*>(value), &data), "the weights cannot be read");
    return std::make_pair(static_cast<const void*>(data), static_cast<size_t>(count_of(sizes.sizes)));
  };
  const auto [values, value_count] = constant(kValues, kFloat, "values");
  const auto [mask, mask_bytes] = constant(kMask, kUint8, "mask");
  const Stored stored{static_cast<const uint8_t*>(mask), mask_bytes, static_cast<const float*>(values), value_count, rows, columns,
                      integer("block", 1), channel_groups};
  std::string fault;
  auto found = unpack(stored, &fault);
  if (!found) throw Fault(fault);
  return found;
}

Run::~Run() {
  for (void* memory : taken_) allocator_->Free(allocator_, memory);
  if (allocator_) api_.release(allocator_);
  if (memory_) api_.release(memory_);
}

void Run::succeed(OrtStatus* status) const { compress_sparse::succeed(api_, status, "ONNX Runtime refused a call of the sparse operators"); }

Tensor Run::input(size_t index) const {
  size_t count = 0;
  succeed(api_.input_count(context_, &count));
  if (index >= count) return {};
  const OrtValue* value = nullptr;
  succeed(api_.input(context_, index, &value));
  if (!value) return {};
  void* data = nullptr;
  succeed(api_.data(const_cast<OrtValue*>(value), &data));
  Tensor tensor;
  tensor.sizes = sizes_of(api_, value).sizes;
  static const float nothing = 0;  // tensors without elements may have no memory
  tensor.data = data ? static_cast<const float*>(data) : &nothing;
  return tensor;
}

float* Run::output(const std::vector<int64_t>& sizes) const {
  OrtValue* value = nullptr;
  succeed(api_.output(context_, 0, sizes.data(), sizes.size(), &value));
  void* data = nullptr;
  succeed(api_.data(value, &data));
  return static_cast<float*>(data);
}

float* Run::scratch(size_t floats) {
  if (!allocator_) {
    succeed(api_.cpu_memory(&memory_));
    succeed(api_.allocator(context_, memory_, &allocator_));
  }
  taken_.reserve(taken_.size() + 1);
  void* memory = allocator_->Alloc(allocator_, floats * sizeof(float) + kAlignment);
  if (!memory) throw Fault("no memory for " + std::to_string(floats * sizeof(float)) + " bytes of scratch");
  taken_.push_back(memory);
  const auto address = (reinterpret_cast<uintptr_t>(memory) + kAlignment - 1) / kAlignment * kAlignment;
  return reinterpret_cast<float*>(address);
}

float* thread_scratch(Use use, size_t floats) {
  thread_local std::vector<float> all[kUses];
  std::vector<float>& kept = all[use];
  if (kept.size() < floats + kAlignment / sizeof(float)) kept.resize(floats + kAlignment / sizeof(float));
  const auto address = (reinterpret_cast<uintptr_t>(kept.data()) + kAlignment - 1) / kAlignment * kAlignment;
  return reinterpret_cast<float*>(address);
}

}  // namespace compress_sparse
