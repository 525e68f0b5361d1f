#include <stdlib.h>
#include <string.h>

#include "kernels.h"

namespace compress_sparse {
namespace {

const Kernels* chosen() {
#if defined(__x86_64__)
  const char* asked = getenv("COMPRESS_SPARSE_ISA");
  const auto allowed = [&](const char* name) { return !asked || !strcmp(asked, name); };
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (avx512 && allowed("avx512")) return avx512_kernels();
  if (avx2 && (allowed("avx2") || (asked && !strcmp(asked, "avx512")))) return avx2_kernels();
#endif
  return baseline_kernels();
}

}  // namespace

const Kernels& kernels() {
  static const Kernels* const found = chosen();
  return *found;
}

}  // namespace compress_sparse
