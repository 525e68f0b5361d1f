// The library's one entry: ONNX Runtime calls RegisterCustomOps when a session registers it.
#include <new>

#include "operator.h"

namespace compress_sparse {
namespace {

constexpr char kDomain[] = "compress.sparse";

using Maker = std::unique_ptr<Node> (*)(const Info&);

struct Operator : OrtCustomOp {
  const char* name;
  Maker make;
};

struct Held {
  Api api;
  std::unique_ptr<Node> node;
  const char* name;
};

OrtStatus* fault(const Api& api, int code, const char* name, const char* what) {
  return api.error(code, (std::string(name) + ": " + what).c_str());
}

OrtStatus* create(const OrtCustomOp* op, const void* table, const OrtKernelInfo* info, void** kernel) {
  const Api api(table);
  const auto* self = static_cast<const Operator*>(op);
  try {
    *kernel = new Held{api, self->make(Info(api, info)), self->name};
    return nullptr;
  } catch (const Fault& error) {
    return fault(api, kInvalidArgument, self->name, error.what());
  } catch (const std::exception& error) {
    return fault(api, kFail, self->name, error.what());
  }
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  const auto* held = static_cast<const Held*>(kernel);
  try {
    Run run(held->api, context);
    held->node->run(run);
    return nullptr;
  } catch (const Fault& error) {
    return fault(held->api, kInvalidArgument, held->name, error.what());
  } catch (const std::exception& error) {
    return fault(held->api, kFail, held->name, error.what());
  }
}

Operator declared(const char* name, Maker make) {
  Operator op{};
  op.version = kApiVersion;
  op.name = name;
  op.make = make;
  op.GetName = [](const OrtCustomOp* self) { return static_cast<const Operator*>(self)->name; };
  op.GetExecutionProviderType = [](const OrtCustomOp*) { return static_cast<const char*>(nullptr); };
  op.GetInputTypeCount = [](const OrtCustomOp*) { return static_cast<size_t>(kInputs); };
  op.GetInputType = [](const OrtCustomOp*, size_t index) { return index == kMask ? kUint8 : kFloat; };
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t index) { return index == kBias || index == kResidual ? kOptional : kRequired; };
  op.GetOutputTypeCount = [](const OrtCustomOp*) { return static_cast<size_t>(1); };
  op.GetOutputType = [](const OrtCustomOp*, size_t) { return kFloat; };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return kRequired; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };
  op.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 0; };
  op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
  op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
  op.CreateKernelV2 = create;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Held*>(kernel); };
  op.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) { return 0x7fffffff; };
  return op;
}

}  // namespace
}  // namespace compress_sparse

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace compress_sparse;
  const void* table = base->GetApi(kApiVersion);
  if (!table) return Api(base->GetApi(1)).error(kFail, "compress.sparse needs ONNX Runtime 1.18 or newer");
  const Api api(table);
  static const Operator operators[] = {declared("SparseConv", make_convolution), declared("SparseMatMul", make_product)};
  // The domain lives as long as any session that was made with it, of which nothing is told: it is kept.
  static OrtCustomOpDomain* const domain = [&]() -> OrtCustomOpDomain* {
    OrtCustomOpDomain* made = nullptr;
    OrtStatus* status = api.create_domain(kDomain, &made);
    for (const Operator& op : operators)
      if (!status) status = api.add_operator(made, &op);
    api.release(status);
    return status ? nullptr : made;
  }();
  if (!domain) return api.error(kFail, "compress.sparse: its operators could not be declared");
  return api.add_domain(options, domain);
}

// Which instruction set is used here: for reports and tests.
EXPORTED const char* compress_sparse_isa() { return compress_sparse::kernels().name; }
