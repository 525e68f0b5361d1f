// Vectors of floats of one instruction set, WIDTH in its widest; for what is compiled once for each.
#ifndef COMPRESS_SPARSE_VECTORS_H
#define COMPRESS_SPARSE_VECTORS_H

#include "kernels.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

namespace compress_sparse {
namespace {

template <int FLOATS>
struct VectorOf {
  typedef float Type __attribute__((vector_size(FLOATS * 4), aligned(4), may_alias));
};
using Floats = VectorOf<WIDTH>::Type;

// Has what will be written soon brought near; any address will do.
inline void ahead(const float* to) { __builtin_prefetch(to, 1, 2); }

template <int FLOATS>
inline typename VectorOf<FLOATS>::Type load_of(const float* from) { return *reinterpret_cast<const typename VectorOf<FLOATS>::Type*>(from); }
template <int FLOATS>
inline void store_of(float* to, typename VectorOf<FLOATS>::Type value) { *reinterpret_cast<typename VectorOf<FLOATS>::Type*>(to) = value; }
inline Floats load(const float* from) { return *reinterpret_cast<const Floats*>(from); }
inline void store(float* to, Floats value) { *reinterpret_cast<Floats*>(to) = value; }
inline Floats all(float value) { return value - Floats{}; }

// The greater and the lesser of two; `value` where it is not a number, as in ONNX Runtime. Compilers do not find the
// instructions for vectors of floats by themselves.
template <typename Value>
inline Value greater(Value bound, Value value) { return bound > value ? bound : value; }
template <typename Value>
inline Value lesser(Value bound, Value value) { return bound < value ? bound : value; }
#if defined(__SSE2__)
inline VectorOf<4>::Type greater(VectorOf<4>::Type bound, VectorOf<4>::Type value) { return _mm_max_ps(bound, value); }
inline VectorOf<4>::Type lesser(VectorOf<4>::Type bound, VectorOf<4>::Type value) { return _mm_min_ps(bound, value); }
#endif
#if defined(__AVX__)
inline VectorOf<8>::Type greater(VectorOf<8>::Type bound, VectorOf<8>::Type value) { return _mm256_max_ps(bound, value); }
inline VectorOf<8>::Type lesser(VectorOf<8>::Type bound, VectorOf<8>::Type value) { return _mm256_min_ps(bound, value); }
#endif
#if defined(__AVX512F__)
inline VectorOf<16>::Type greater(VectorOf<16>::Type bound, VectorOf<16>::Type value) { return _mm512_max_ps(bound, value); }
inline VectorOf<16>::Type lesser(VectorOf<16>::Type bound, VectorOf<16>::Type value) { return _mm512_min_ps(bound, value); }
#endif

template <typename Value>
inline Value clamped(Value value, float low, float high) {
  return lesser(Value{} + high, greater(Value{} + low, value));
}

// Keeps a value that is used several times in a register, where compilers would rather load it again for each use.
template <typename Value>
inline void keep(Value& value) {
  if constexpr (sizeof(Value) >= 16) {
#if defined(__AVX512F__)
    __asm__("" : "+v"(value));
#elif defined(__SSE2__)
    __asm__("" : "+x"(value));
#elif defined(__aarch64__)
    __asm__("" : "+w"(value));
#endif
  }
}

// Calls what(i, floats) so that [0, length) is covered, by vectors where there is room: the last may overlap the one before.
template <int FLOATS, typename What>
inline void cover(int64_t length, const What& what) {
  if (length >= FLOATS) {
    int64_t i = 0;
    for (; i + FLOATS <= length; i += FLOATS) what.template at<FLOATS>(i);
    if (i < length) what.template at<FLOATS>(length - FLOATS);
  } else if constexpr (FLOATS > 4) {
    cover<FLOATS / 2>(length, what);
  } else {
    for (int64_t i = 0; i < length; ++i) what.template at<1>(i);
  }
}

struct Copy {
  const float* from;
  float* to;
  template <int FLOATS>
  inline void at(int64_t i) const {
    if constexpr (FLOATS == 1) to[i] = from[i];
    else store_of<FLOATS>(to + i, load_of<FLOATS>(from + i));
  }
};

}  // namespace
}  // namespace compress_sparse

#endif
