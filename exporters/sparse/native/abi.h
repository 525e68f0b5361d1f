// The part of ONNX Runtime's C interface that is used, declared here since its wheels carry no headers.
//
// The interface is a table of functions to which later versions only append (places as in API version 18), and one
// structure of callbacks for each operator.
#ifndef COMPRESS_SPARSE_ABI_H
#define COMPRESS_SPARSE_ABI_H

#include <stddef.h>
#include <stdint.h>

extern "C" {

struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtMemoryInfo;
struct OrtAllocator;
struct OrtShapeInferContext;
struct OrtCustomOp;

struct OrtAllocator {
  uint32_t version;
  void* (*Alloc)(OrtAllocator*, size_t bytes);
  void (*Free)(OrtAllocator*, void* memory);
  const OrtMemoryInfo* (*Info)(const OrtAllocator*);
};

struct OrtApiBase {
  const void* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const void* api, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  int (*GetInputType)(const OrtCustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  void (*KernelDestroy)(void* kernel);
  int (*GetInputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const void* api, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, OrtShapeInferContext*);
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
  size_t (*GetMayInplace)(int** inputs, int** outputs);
  void (*ReleaseMayInplace)(int* inputs, int* outputs);
  size_t (*GetAliasMap)(int** inputs, int** outputs);
  void (*ReleaseAliasMap)(int* inputs, int* outputs);
};

}  // extern "C"

namespace compress_sparse {

constexpr uint32_t kApiVersion = 18;
constexpr int kFloat = 1;   // ONNX element types
constexpr int kUint8 = 2;
constexpr int kRequired = 0, kOptional = 1;
constexpr int kFail = 1, kInvalidArgument = 2;  // ONNX Runtime's error codes

// The functions used, by their place in the table.
class Api {
 public:
  explicit Api(const void* table) : table_(static_cast<void* const*>(table)) {}
  OrtStatus* error(int code, const char* text) const { return at<OrtStatus*(int, const char*)>(0)(code, text); }
  void release(OrtStatus* status) const { if (status) at<void(OrtStatus*)>(93)(status); }

  OrtStatus* create_domain(const char* name, OrtCustomOpDomain** out) const {
    return at<OrtStatus*(const char*, OrtCustomOpDomain**)>(26)(name, out);
  }
  OrtStatus* add_operator(OrtCustomOpDomain* domain, const OrtCustomOp* op) const {
    return at<OrtStatus*(OrtCustomOpDomain*, const OrtCustomOp*)>(27)(domain, op);
  }
  OrtStatus* add_domain(OrtSessionOptions* options, OrtCustomOpDomain* domain) const {
    return at<OrtStatus*(OrtSessionOptions*, OrtCustomOpDomain*)>(28)(options, domain);
  }

  OrtStatus* data(OrtValue* value, void** out) const { return at<OrtStatus*(OrtValue*, void**)>(51)(value, out); }
  OrtStatus* shape(const OrtValue* value, OrtTensorTypeAndShapeInfo** out) const {
    return at<OrtStatus*(const OrtValue*, OrtTensorTypeAndShapeInfo**)>(65)(value, out);
  }
  OrtStatus* rank(const OrtTensorTypeAndShapeInfo* info, size_t* out) const {
    return at<OrtStatus*(const OrtTensorTypeAndShapeInfo*, size_t*)>(61)(info, out);
  }
  OrtStatus* sizes(const OrtTensorTypeAndShapeInfo* info, int64_t* out, size_t count) const {
    return at<OrtStatus*(const OrtTensorTypeAndShapeInfo*, int64_t*, size_t)>(62)(info, out, count);
  }
  OrtStatus* element_type(const OrtTensorTypeAndShapeInfo* info, int* out) const {
    return at<OrtStatus*(const OrtTensorTypeAndShapeInfo*, int*)>(60)(info, out);
  }
  void release(OrtTensorTypeAndShapeInfo* info) const { at<void(OrtTensorTypeAndShapeInfo*)>(99)(info); }

  OrtStatus* attribute(const OrtKernelInfo* info, const char* name, float* out) const {
    return at<OrtStatus*(const OrtKernelInfo*, const char*, float*)>(85)(info, name, out);
  }
  OrtStatus* attribute(const OrtKernelInfo* info, const char* name, int64_t* out) const {
    return at<OrtStatus*(const OrtKernelInfo*, const char*, int64_t*)>(86)(info, name, out);
  }
  OrtStatus* constant(const OrtKernelInfo* info, size_t index, int* is_constant, const OrtValue** out) const {
    return at<OrtStatus*(const OrtKernelInfo*, size_t, int*, const OrtValue**)>(249)(info, index, is_constant, out);
  }

  OrtStatus* input_count(const OrtKernelContext* context, size_t* out) const {
    return at<OrtStatus*(const OrtKernelContext*, size_t*)>(88)(context, out);
  }
  OrtStatus* input(const OrtKernelContext* context, size_t index, const OrtValue** out) const {
    return at<OrtStatus*(const OrtKernelContext*, size_t, const OrtValue**)>(90)(context, index, out);
  }
  OrtStatus* output(OrtKernelContext* context, size_t index, const int64_t* sizes, size_t rank, OrtValue** out) const {
    return at<OrtStatus*(OrtKernelContext*, size_t, const int64_t*, size_t, OrtValue**)>(91)(context, index, sizes, rank, out);
  }
  OrtStatus* cpu_memory(OrtMemoryInfo** out) const { return at<OrtStatus*(int, int, OrtMemoryInfo**)>(69)(1, 0, out); }
  void release(OrtMemoryInfo* memory) const { at<void(OrtMemoryInfo*)>(94)(memory); }
  OrtStatus* allocator(const OrtKernelContext* context, const OrtMemoryInfo* memory, OrtAllocator** out) const {
    return at<OrtStatus*(const OrtKernelContext*, const OrtMemoryInfo*, OrtAllocator**)>(253)(context, memory, out);
  }
  void release(OrtAllocator* allocator) const { at<void(OrtAllocator*)>(132)(allocator); }
  OrtStatus* parallel_for(const OrtKernelContext* context, void (*work)(void*, size_t), size_t total, void* data) const {
    return at<OrtStatus*(const OrtKernelContext*, void (*)(void*, size_t), size_t, size_t, void*)>(274)(context, work, total, total, data);  // in as many batches: whichever thread is free takes the next
  }

 private:
  template <typename Function>
  Function* at(size_t place) const { return reinterpret_cast<Function*>(table_[place]); }
  void* const* table_;
};

}  // namespace compress_sparse

#endif
