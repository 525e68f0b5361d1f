// Sparse rows times dense columns, compiled once for each instruction set (ISA names it, WIDTH is its floats a vector).
//
// Nothing of the standard library may be used here: an inline function of it, compiled for a newer instruction set,
// could be the one copy that the linker keeps for all.
#ifndef ISA
#error "compile with -DISA=<name> -DWIDTH=<floats a vector>"
#endif

#include "filters.h"
#include "planes.h"
#include "tiles.h"

namespace compress_sparse {
namespace {

#define NAME_OF(name) #name
#define NAMED(name) NAME_OF(name)
#define JOIN_OF(a, b) a##b
#define JOIN(a, b) JOIN_OF(a, b)

const Kernels kKernels = {NAMED(ISA), WIDTH, {kMost[0], kMost[1], kMost[2]}, tile, vector, lay, depthwise};

}  // namespace

const Kernels* JOIN(ISA, _kernels)() { return &kKernels; }

}  // namespace compress_sparse
