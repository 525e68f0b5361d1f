// As much of ONNX Runtime's C interface as the sparse operators use, so that they run where ONNX Runtime does not:
// under an emulator, or with every access checked. Reads cases from the file argv[1], writes outputs to argv[2].
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "abi.h"

struct OrtStatus { std::string text; };
struct OrtValue {
  std::vector<int64_t> sizes;
  int type = 0;
  void* data = nullptr;  // of its exact size, so that a step beyond it is seen
};
struct OrtTensorTypeAndShapeInfo { std::vector<int64_t> sizes; int type; };
struct OrtKernelInfo {
  std::map<std::string, int64_t> integers;
  std::map<std::string, float> reals;
  OrtValue inputs[5];
};
struct OrtKernelContext { const OrtKernelInfo* info; OrtValue output; };
struct OrtMemoryInfo {};
struct OrtCustomOpDomain { std::vector<const OrtCustomOp*> operators; };
struct OrtSessionOptions { std::vector<OrtCustomOpDomain*> domains; };

namespace {

using compress_sparse::kFloat;
using compress_sparse::kUint8;

constexpr size_t kThreads = 3;

OrtStatus* status(int, const char* text) { return new OrtStatus{text}; }

size_t bytes_of(const std::vector<int64_t>& sizes, int type) {
  size_t count = type == kFloat ? sizeof(float) : 1;
  for (const int64_t size : sizes) count *= static_cast<size_t>(size);
  return count;
}

template <typename Value>
OrtStatus* find(const std::map<std::string, Value>& all, const char* name, Value* out) {
  const auto found = all.find(name);
  if (found == all.end()) return status(1, "no such attribute");
  *out = found->second;
  return nullptr;
}

OrtAllocator allocator{18, [](OrtAllocator*, size_t bytes) { return std::malloc(bytes); }, [](OrtAllocator*, void* memory) { std::free(memory); }, nullptr};

OrtStatus* parallel(const OrtKernelContext*, void (*work)(void*, size_t), size_t total, size_t, void* data) {
  std::vector<std::thread> threads;
  for (size_t first = 0; first < kThreads; ++first)
    threads.emplace_back([=] { for (size_t i = first; i < total; i += kThreads) work(data, i); });
  for (std::thread& thread : threads) thread.join();
  return nullptr;
}

void* table[300];

template <typename Function>
void put(size_t place, Function* function) { table[place] = reinterpret_cast<void*>(function); }

void fill() {
  put(0, status);
  put(26, +[](const char*, OrtCustomOpDomain** out) -> OrtStatus* { *out = new OrtCustomOpDomain; return nullptr; });
  put(27, +[](OrtCustomOpDomain* domain, const OrtCustomOp* op) -> OrtStatus* { domain->operators.push_back(op); return nullptr; });
  put(28, +[](OrtSessionOptions* options, OrtCustomOpDomain* domain) -> OrtStatus* { options->domains.push_back(domain); return nullptr; });
  put(51, +[](OrtValue* value, void** out) -> OrtStatus* { *out = value->data; return nullptr; });
  put(60, +[](const OrtTensorTypeAndShapeInfo* info, int* out) -> OrtStatus* { *out = info->type; return nullptr; });
  put(61, +[](const OrtTensorTypeAndShapeInfo* info, size_t* out) -> OrtStatus* { *out = info->sizes.size(); return nullptr; });
  put(62, +[](const OrtTensorTypeAndShapeInfo* info, int64_t* out, size_t count) -> OrtStatus* {
    std::memcpy(out, info->sizes.data(), count * sizeof(int64_t));
    return nullptr;
  });
  put(65, +[](const OrtValue* value, OrtTensorTypeAndShapeInfo** out) -> OrtStatus* { *out = new OrtTensorTypeAndShapeInfo{value->sizes, value->type}; return nullptr; });
  put(69, +[](int, int, OrtMemoryInfo** out) -> OrtStatus* { *out = new OrtMemoryInfo; return nullptr; });
  put(85, +[](const OrtKernelInfo* info, const char* name, float* out) { return find(info->reals, name, out); });
  put(86, +[](const OrtKernelInfo* info, const char* name, int64_t* out) { return find(info->integers, name, out); });
  put(88, +[](const OrtKernelContext*, size_t* out) -> OrtStatus* { *out = 5; return nullptr; });
  put(90, +[](const OrtKernelContext* context, size_t index, const OrtValue** out) -> OrtStatus* {
    *out = context->info->inputs[index].type ? &context->info->inputs[index] : nullptr;
    return nullptr;
  });
  put(91, +[](OrtKernelContext* context, size_t, const int64_t* sizes, size_t rank, OrtValue** out) -> OrtStatus* {
    context->output.sizes.assign(sizes, sizes + rank);
    context->output.type = kFloat;
    context->output.data = std::malloc(bytes_of(context->output.sizes, kFloat));
    *out = &context->output;
    return nullptr;
  });
  put(93, +[](OrtStatus* it) { delete it; });
  put(94, +[](OrtMemoryInfo* it) { delete it; });
  put(99, +[](OrtTensorTypeAndShapeInfo* it) { delete it; });
  put(132, +[](OrtAllocator*) {});
  put(249, +[](const OrtKernelInfo* info, size_t index, int* is_constant, const OrtValue** out) -> OrtStatus* {
    *is_constant = info->inputs[index].type != 0;
    *out = *is_constant ? &info->inputs[index] : nullptr;
    return nullptr;
  });
  put(253, +[](const OrtKernelContext*, const OrtMemoryInfo*, OrtAllocator** out) -> OrtStatus* { *out = &allocator; return nullptr; });
  put(274, parallel);
}

template <typename Value>
Value read(FILE* file) {
  Value value;
  if (std::fread(&value, sizeof value, 1, file) != 1) std::exit(3);
  return value;
}

std::string read_name(FILE* file) {
  std::string name(static_cast<size_t>(read<int32_t>(file)), ' ');
  if (std::fread(name.data(), 1, name.size(), file) != name.size()) std::exit(3);
  return name;
}

void read_input(FILE* file, int type, OrtValue* value) {
  const auto rank = read<int32_t>(file);
  if (rank < 0) return;  // not given
  value->type = type;
  for (int32_t i = 0; i < rank; ++i) value->sizes.push_back(read<int64_t>(file));
  const size_t bytes = bytes_of(value->sizes, type);
  value->data = std::malloc(bytes);
  if (std::fread(value->data, 1, bytes, file) != bytes) std::exit(3);
}

// Its text, or that of what went wrong; to be deleted.
OrtStatus* run(const OrtCustomOp* op, const OrtKernelInfo& info, OrtValue* output) {
  void* kernel = nullptr;
  if (OrtStatus* fault = op->CreateKernelV2(op, table, &info, &kernel)) return fault;
  OrtStatus* fault = nullptr;
  for (int again = 0; again < 2 && !fault; ++again) {  // the second run finds everything planned
    OrtKernelContext context{&info, {}};
    fault = op->KernelComputeV2(kernel, &context);
    std::free(output->data);
    *output = context.output;
  }
  op->KernelDestroy(kernel);
  return fault;
}

void answer(FILE* out, const OrtStatus* fault, const OrtValue& output) {
  const auto put_number = [&](int32_t number) { std::fwrite(&number, sizeof number, 1, out); };
  put_number(fault ? -1 : static_cast<int32_t>(output.sizes.size()));
  if (fault) {
    put_number(static_cast<int32_t>(fault->text.size()));
    std::fwrite(fault->text.data(), 1, fault->text.size(), out);
    return;
  }
  std::fwrite(output.sizes.data(), sizeof(int64_t), output.sizes.size(), out);
  std::fwrite(output.data, 1, bytes_of(output.sizes, kFloat), out);
}

}  // namespace

extern "C" OrtStatus* RegisterCustomOps(OrtSessionOptions*, const OrtApiBase*);

int main(int, char** arguments) {
  fill();
  const OrtApiBase base{[](uint32_t) -> const void* { return table; }, nullptr};
  OrtSessionOptions options;
  if (RegisterCustomOps(&options, &base)) return 2;
  FILE* const in = std::fopen(arguments[1], "rb");
  FILE* const out = std::fopen(arguments[2], "wb");
  if (!in || !out) return 2;
  for (int32_t left = read<int32_t>(in); left > 0; --left) {
    const OrtCustomOp* const op = options.domains[0]->operators[static_cast<size_t>(read<int32_t>(in))];
    OrtKernelInfo info;
    for (int32_t i = read<int32_t>(in); i > 0; --i) { const std::string name = read_name(in); info.integers[name] = read<int64_t>(in); }
    for (int32_t i = read<int32_t>(in); i > 0; --i) { const std::string name = read_name(in); info.reals[name] = read<float>(in); }
    for (size_t i = 0; i < 5; ++i) read_input(in, i == 2 ? kUint8 : kFloat, &info.inputs[i]);
    OrtValue output;
    OrtStatus* const fault = run(op, info, &output);
    answer(out, fault, output);
    delete fault;
    std::free(output.data);
    for (OrtValue& value : info.inputs) std::free(value.data);
  }
  std::fclose(in);
  std::fclose(out);
  for (OrtCustomOpDomain* domain : options.domains) delete domain;
  return 0;
}
