// What the operators share: faults that become ONNX Runtime errors, tensors, scratch memory, the thread pool.
#ifndef COMPRESS_SPARSE_OPERATOR_H
#define COMPRESS_SPARSE_OPERATOR_H

#include <stdint.h>

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "abi.h"
#include "product.h"
#include "weights.h"

namespace compress_sparse {

// Thrown inside the library only; every callback turns it into an OrtStatus.
class Fault : public std::exception {
 public:
  explicit Fault(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

struct Tensor {
  const float* data = nullptr;
  std::vector<int64_t> sizes;
  explicit operator bool() const { return data != nullptr; }
};

int64_t count_of(const std::vector<int64_t>& sizes);
std::string text_of(const std::vector<int64_t>& sizes);

// Attributes and constant inputs while a kernel is made.
class Info {
 public:
  Info(const Api& api, const OrtKernelInfo* info) : api_(api), info_(info) {}
  int64_t integer(const char* name) const;
  int64_t integer(const char* name, int64_t otherwise) const;
  Clamp clamp() const;
  std::shared_ptr<const Weights> weights(int64_t rows, int64_t columns, int64_t channel_groups) const;

 private:
  Api api_;
  const OrtKernelInfo* info_;
};

// Inputs, output, memory and threads while a kernel runs.
class Run {
 public:
  Run(const Api& api, OrtKernelContext* context) : api_(api), context_(context) {}
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Tensor input(size_t index) const;  // empty where an optional input is missing
  float* output(const std::vector<int64_t>& sizes) const;
  float* scratch(size_t floats);     // of the session's arena, aligned to 64 bytes; for this run
  // Calls work(i) for every i below total, on the session's threads where `worth` multiply-adds justify it.
  template <typename Work>
  void parallel(size_t total, uint64_t worth, const Work& work) const {
    constexpr uint64_t kWorthWaking = 100000;
    if (total <= 1 || worth < kWorthWaking) {
      for (size_t i = 0; i < total; ++i) work(i);
      return;
    }
    const auto call = [](void* data, size_t i) { (*static_cast<const Work*>(data))(i); };
    succeed(api_.parallel_for(context_, call, total, const_cast<Work*>(&work)));
  }

 private:
  void succeed(OrtStatus* status) const;
  Api api_;
  OrtKernelContext* context_;
  OrtMemoryInfo* memory_ = nullptr;
  OrtAllocator* allocator_ = nullptr;
  std::vector<void*> taken_;
};

// Scratch of one thread for one use, kept for its next call; aligned to 64 bytes.
enum Use { kPartial = 0, kCopy = 1, kUses = 2 };
float* thread_scratch(Use use, size_t floats);

// A kernel of one node.
class Node {
 public:
  virtual ~Node() = default;
  virtual void run(Run& run) const = 0;
};

std::unique_ptr<Node> make_convolution(const Info& info);
std::unique_ptr<Node> make_product(const Info& info);

// Inputs of every operator, in order.
enum Input : size_t { kX = 0, kValues = 1, kMask = 2, kBias = 3, kResidual = 4, kInputs = 5 };

}  // namespace compress_sparse

#endif
