// SparseConv: two-dimensional convolution of pictures (batch, channels, height, width) with sparse constant weights.
//
// A tap of the kernel is a constant offset once each channel lies in memory with zeros around it, and with a stride,
// each phase of it on its own: then every convolution is a sparse matrix times dense columns.
#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>

#include "operator.h"

namespace compress_sparse {
namespace {

// Rows of X that straddle cache lines, or lie a page apart each, are slow to come back to: single rows of W run quicker
// on an aligned copy of a tile, once each element of it is used often enough to repay the copy.
constexpr int64_t kSmallPicture = 784;
constexpr double kUsesOfSmall = 3, kUses = 8;
constexpr int64_t kTasks = 8;

struct Axis {  // height or width
  int64_t kernel, stride, dilation, before, after;

  int64_t output(int64_t input) const {
    const int64_t reach = dilation * (kernel - 1) + 1;
    const int64_t padded = input + before + after;
    return padded < reach ? 0 : (padded - reach) / stride + 1;
  }
  int64_t start(int64_t tap) const { return tap * dilation - before; }
  int64_t phase(int64_t tap) const { return ((start(tap) % stride) + stride) % stride; }
  int64_t shift(int64_t tap) const { return (start(tap) - phase(tap)) / stride; }
  int64_t least() const { return shift(0); }
  int64_t most() const {
    int64_t found = shift(0);
    for (int64_t tap = 1; tap < kernel; ++tap) found = std::max(found, shift(tap));
    return found;
  }
};

enum class Layout { kDirect, kCopied, kPlanes };

// How pictures of one height and width are computed.
struct Plan {
  int64_t height, width, out_height, out_width;
  Layout layout;
  std::vector<int32_t> places;   // of element k of a column of X
  std::vector<int32_t> offsets;  // of each weight
  std::vector<Stretch> tiles;
  std::vector<int32_t> shares;  // of the rows; with several groups of channels, the rows of each
  // kPlanes: phases that are used, and how a plane of one lies in memory.
  std::vector<std::pair<int64_t, int64_t>> phases;
  int64_t pitch = 0, plane_rows = 0, plane_floats = 0, margin = 0;
  // kCopied: floats from one element k to the next, and of a tile.
  int64_t step = 0;
  size_t scratch = 0;
};

class Convolution : public Node {
 public:
  explicit Convolution(const Info& info)
      : channels_(info.integer("channels")),
        features_(info.integer("features")),
        groups_(info.integer("group", 1)),
        vertical_{info.integer("kernel_h"), info.integer("stride_h", 1), info.integer("dilation_h", 1), info.integer("pad_top", 0), info.integer("pad_bottom", 0)},
        horizontal_{info.integer("kernel_w"), info.integer("stride_w", 1), info.integer("dilation_w", 1), info.integer("pad_left", 0), info.integer("pad_right", 0)},
        clamp_(info.clamp()) {
    constexpr int64_t limit = 1 << 20;
    for (const Axis& axis : {vertical_, horizontal_}) {
      if (axis.kernel < 1 || axis.stride < 1 || axis.dilation < 1 || axis.before < 0 || axis.after < 0 || axis.kernel > limit ||
          axis.stride > limit || axis.dilation > limit || axis.before > limit || axis.after > limit)
        throw Fault("kernel, stride and dilation must be at least 1, padding at least 0, and all at most 2^20");
    }
    if (vertical_.kernel * horizontal_.kernel > limit) throw Fault("the kernel is too large");
    if (channels_ < 1 || groups_ < 1 || channels_ % groups_ || channels_ > std::numeric_limits<int32_t>::max())
      throw Fault("channels must be a positive multiple of group");
    group_channels_ = channels_ / groups_;
    weights_ = info.weights(features_, group_channels_ * vertical_.kernel * horizontal_.kernel, groups_);
  }

  void run(Run& run) const override {
    const Tensor x = run.input(kX), bias = run.input(kBias), residual = run.input(kResidual);
    if (x.sizes.size() != 4 || x.sizes[1] != channels_)
      throw Fault("X has the shape " + text_of(x.sizes) + "; it must be (batch, " + std::to_string(channels_) + ", height, width)");
    if (bias && (bias.sizes.size() != 1 || bias.sizes[0] != features_)) throw Fault("the bias has the shape " + text_of(bias.sizes));
    const std::vector<int64_t> sizes{x.sizes[0], features_, vertical_.output(x.sizes[2]), horizontal_.output(x.sizes[3])};
    if (residual && residual.sizes != sizes)
      throw Fault("the residual has the shape " + text_of(residual.sizes) + "; the output has " + text_of(sizes));
    float* const y = run.output(sizes);
    if (!count_of(sizes)) return;
    const std::shared_ptr<const Plan> plan = plan_for(x.sizes[2], x.sizes[3]);
    Job job{*plan, x.data, bias.data, residual.data, y, x.sizes[0]};
    if (plan->layout != Layout::kPlanes) return all_at_once(run, job);
    if (groups_ > 1) return by_group(run, job);
    by_picture(run, job);
  }

 private:
  struct Job {
    const Plan& plan;
    const float* x;
    const float* bias;
    const float* residual;
    float* y;
    int64_t pictures;
  };

  std::shared_ptr<const Plan> plan_for(int64_t height, int64_t width) const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!plan_ || plan_->height != height || plan_->width != width) plan_ = planned(height, width);
    return plan_;
  }

  std::shared_ptr<const Plan> planned(int64_t height, int64_t width) const {
    auto plan = std::make_shared<Plan>();
    plan->height = height;
    plan->width = width;
    plan->out_height = vertical_.output(height);
    plan->out_width = horizontal_.output(width);
    const int64_t pixels = height * width;
    const bool pointwise = vertical_.kernel == 1 && horizontal_.kernel == 1 && vertical_.stride == 1 && horizontal_.stride == 1 &&
                           !vertical_.before && !vertical_.after && !horizontal_.before && !horizontal_.after;
    const Kernels& set = kernels();
    if (!pointwise || pixels < set.width) {
      lay_planes(plan.get());
    } else {
      const double uses = static_cast<double>(weights_->indices.size()) / static_cast<double>(channels_);
      const bool copied = weights_->block == 1 && uses >= (pixels < kSmallPicture ? kUsesOfSmall : kUses);
      plan->layout = copied ? Layout::kCopied : Layout::kDirect;
      plan->tiles = stretches({pixels, pixels, pixels, true}, weights_->block, set);
      plan->step = copied ? static_cast<int64_t>(plan->tiles.back().vectors) * set.width : pixels;
      fit(plan->step * group_channels_);
      for (int64_t c = 0; c < group_channels_; ++c) plan->places.push_back(static_cast<int32_t>(c * plan->step));
    }
    plan->offsets = resolved(*weights_, plan->places);
    if (groups_ > 1) {
      const auto of_one = static_cast<int32_t>(features_ / groups_ / weights_->block);
      for (int32_t g = 0; g <= static_cast<int32_t>(groups_); ++g) plan->shares.push_back(g * of_one);
      return plan;
    }
    const auto tasks = static_cast<int64_t>(plan->tiles.size());
    const int64_t partial_rows = weights_->k_blocks > 1 ? (weights_->groups + 127) / 128 : 1;
    plan->shares = shares(*weights_, static_cast<int32_t>(std::max(partial_rows, (kTasks + tasks - 1) / tasks)));
    return plan;
  }

  void lay_planes(Plan* plan) const {
    plan->layout = Layout::kPlanes;
    const Kernels& set = kernels();
    const int64_t before = std::max<int64_t>(0, -horizontal_.least());
    const int64_t after = std::max<int64_t>(0, horizontal_.most());
    // Zeros before a row serve as the zeros after the row above it.
    const int64_t real = std::min(plan->out_width + after, (plan->width + horizontal_.stride - 1) / horizontal_.stride);
    plan->pitch = std::max(plan->out_width + after, real + before);
    plan->margin = before;
    plan->plane_rows = plan->out_height + vertical_.most() - vertical_.least();
    plan->plane_floats = (before + plan->plane_rows * plan->pitch + 15) / 16 * 16;
    for (int64_t ky = 0; ky < vertical_.kernel; ++ky)
      for (int64_t kx = 0; kx < horizontal_.kernel; ++kx) {
        const std::pair<int64_t, int64_t> phase{vertical_.phase(ky), horizontal_.phase(kx)};
        if (std::find(plan->phases.begin(), plan->phases.end(), phase) == plan->phases.end()) plan->phases.push_back(phase);
      }
    const auto planes = static_cast<int64_t>(plan->phases.size());
    fit(plan->plane_floats * planes * group_channels_);
    for (int64_t c = 0; c < group_channels_; ++c)
      for (int64_t ky = 0; ky < vertical_.kernel; ++ky)
        for (int64_t kx = 0; kx < horizontal_.kernel; ++kx) {
          const std::pair<int64_t, int64_t> phase{vertical_.phase(ky), horizontal_.phase(kx)};
          const int64_t at = std::find(plan->phases.begin(), plan->phases.end(), phase) - plan->phases.begin();
          plan->places.push_back(static_cast<int32_t>((c * planes + at) * plan->plane_floats + before +
                                                       (vertical_.shift(ky) - vertical_.least()) * plan->pitch + horizontal_.shift(kx)));
        }
    const int64_t length = (plan->out_height - 1) * plan->pitch + plan->out_width;
    plan->tiles = stretches({length, plan->pitch, plan->out_width, length >= set.width}, weights_->block, set);
    plan->scratch = static_cast<size_t>(plan->plane_floats * planes * group_channels_ + set.width);
  }

  static void fit(int64_t floats) {
    if (floats > std::numeric_limits<int32_t>::max()) throw Fault("the picture is too large");
  }

  uint64_t worth(const Job& job) const {
    return static_cast<uint64_t>(job.pictures * job.plan.out_height * job.plan.out_width) * weights_->values.size();
  }

  Tile tile_of(const Job& job, const Stretch& stretch) const {
    Tile tile{};
    tile.offsets = job.plan.offsets.data();
    tile.starts = weights_->starts.data();
    tile.weights = weights_->values.data();
    tile.bias = job.bias;
    tile.row_stride = job.plan.out_height * job.plan.out_width;
    tile.groups = weights_->groups;
    tile.rows = weights_->rows;
    tile.k_blocks = weights_->k_blocks;
    tile.vectors = stretch.vectors;
    tile.last_in = tile.last_out = stretch.last;
    tile.segments = stretch.segments.data();
    tile.segment_count = static_cast<int32_t>(stretch.segments.size());
    tile.low = clamp_.low;
    tile.high = clamp_.high;
    return tile;
  }

  void compute(const Job& job, Tile tile, const Stretch& stretch, int64_t picture, size_t share) const {
    const int64_t target = picture * features_ * tile.row_stride + (tile.segment_count ? 0 : stretch.from);
    tile.y = job.y + target;
    tile.residual = job.residual ? job.residual + target : nullptr;
    tile.begin = job.plan.shares[share];
    tile.end = job.plan.shares[share + 1];
    if (tile.k_blocks > 1)
      tile.partial = thread_scratch(kPartial, static_cast<size_t>(tile.end - tile.begin) * static_cast<size_t>(tile.vectors * kernels().width));
    kernels().tile(weights_->block, tile);
  }

  // Channels that need no zeros around them: read where they are, or from copies of each tile.
  void all_at_once(Run& run, const Job& job) const {
    const Plan& plan = job.plan;
    const size_t tiles = plan.tiles.size(), parts = plan.shares.size() - 1;
    const int64_t pixels = plan.height * plan.width;
    const auto pictures = static_cast<size_t>(job.pictures);
    // Where rows are shared out, their parts share one copy; otherwise each task makes its own and has it in its cache.
    const bool together = plan.layout == Layout::kCopied && groups_ == 1 && parts > 1;
    const auto floats = static_cast<size_t>(plan.step * group_channels_);
    float* const copies = together ? run.scratch(floats * tiles * pictures) : nullptr;
    const auto source = [&](size_t picture, size_t share) {
      const auto group = groups_ > 1 ? static_cast<int64_t>(share) : 0;
      return job.x + (static_cast<int64_t>(picture) * channels_ + group * group_channels_) * pixels;
    };
    if (together) {
      run.parallel(tiles * pictures, worth(job), [&](size_t i) { copy(plan, plan.tiles[i % tiles], source(i / tiles, 0), copies + i * floats); });
    }
    run.parallel(tiles * parts * pictures, worth(job), [&](size_t i) {
      const size_t share = i % parts, at = i / parts % tiles, picture = i / parts / tiles;
      const Stretch& stretch = plan.tiles[at];
      Tile tile = tile_of(job, stretch);
      if (plan.layout == Layout::kCopied) {
        float* const own = together ? copies + (picture * tiles + at) * floats : thread_scratch(kCopy, floats);
        if (!together) copy(plan, stretch, source(picture, share), own);
        tile.x = own;
        tile.last_in = (stretch.vectors - 1) * kernels().width;
      } else {
        tile.x = source(picture, share) + stretch.from;
      }
      compute(job, tile, stretch, static_cast<int64_t>(picture), share);
    });
  }

  void copy(const Plan& plan, const Stretch& stretch, const float* x, float* to) const {
    const int64_t pixels = plan.height * plan.width, width = kernels().width;
    const int64_t before = (stretch.vectors - 1) * width;
    const float* from = x + stretch.from;
    for (int64_t c = 0; c < group_channels_; ++c, from += pixels, to += plan.step) {
      std::memcpy(to, from, static_cast<size_t>(before) * sizeof(float));
      std::memcpy(to + before, from + stretch.last, static_cast<size_t>(width) * sizeof(float));
    }
  }

  // Channels with zeros around them, one picture after another so that the planes stay in the cache.
  void by_picture(Run& run, const Job& job) const {
    const Plan& plan = job.plan;
    float* const planes = run.scratch(plan.scratch);
    const size_t tiles = plan.tiles.size(), parts = plan.shares.size() - 1;
    for (int64_t picture = 0; picture < job.pictures; ++picture) {
      const float* const x = job.x + picture * channels_ * plan.height * plan.width;
      const auto count = static_cast<size_t>(channels_);
      const size_t at_a_time = (count + kTasks - 1) / kTasks;
      run.parallel((count + at_a_time - 1) / at_a_time, worth(job), [&](size_t i) {
        for (size_t c = i * at_a_time; c < std::min(count, (i + 1) * at_a_time); ++c) pad(plan, x, static_cast<int64_t>(c), planes);
      });
      run.parallel(tiles * parts, worth(job), [&](size_t i) {
        const Stretch& stretch = plan.tiles[i / parts];
        Tile tile = tile_of(job, stretch);
        tile.x = planes + stretch.from;
        compute(job, tile, stretch, picture, i % parts);
      });
    }
  }

  // Few channels at a time, and all that is done with them, while they are in the nearest cache.
  void by_group(Run& run, const Job& job) const {
    const Plan& plan = job.plan;
    run.parallel(static_cast<size_t>(groups_ * job.pictures), worth(job), [&](size_t i) {
      const size_t group = i % static_cast<size_t>(groups_), picture = i / static_cast<size_t>(groups_);
      const float* const x = job.x + static_cast<int64_t>(i) * group_channels_ * plan.height * plan.width;
      float* const planes = thread_scratch(kCopy, plan.scratch);
      for (int64_t c = 0; c < group_channels_; ++c) pad(plan, x, c, planes);
      if (channels_ == groups_ && features_ == groups_) return filter(job, planes, static_cast<int64_t>(i), group);
      for (const Stretch& stretch : plan.tiles) {
        Tile tile = tile_of(job, stretch);
        tile.x = planes + stretch.from;
        compute(job, tile, stretch, static_cast<int64_t>(picture), group);
      }
    });
  }

  void filter(const Job& job, const float* plane, int64_t at, size_t channel) const {
    const Plan& plan = job.plan;
    const uint32_t first = weights_->starts[channel];
    const int64_t pixels = plan.out_height * plan.out_width;
    kernels().depthwise({plane, plan.offsets.data() + first, weights_->values.data() + first, weights_->starts[channel + 1] - first,
                         job.bias ? job.bias[channel] : 0.0f, job.residual ? job.residual + at * pixels : nullptr, job.y + at * pixels,
                         plan.out_height, plan.out_width, plan.pitch, clamp_.low, clamp_.high});
  }

  void pad(const Plan& plan, const float* x, int64_t channel, float* planes) const {
    const auto phases = static_cast<int64_t>(plan.phases.size());
    for (int64_t at = 0; at < phases; ++at) {
      const auto [phase_y, phase_x] = plan.phases[static_cast<size_t>(at)];
      const int64_t held = (plan.width - phase_x + horizontal_.stride - 1) / horizontal_.stride;
      kernels().lay({x + channel * plan.height * plan.width, planes + (channel * phases + at) * plan.plane_floats, plan.height, plan.width,
                     vertical_.least() * vertical_.stride + phase_y, vertical_.stride, phase_x, horizontal_.stride, plan.plane_rows,
                     std::max<int64_t>(0, std::min(plan.pitch - plan.margin, held)), plan.pitch, plan.margin});
    }
  }

  int64_t channels_, features_, groups_, group_channels_ = 0;
  Axis vertical_, horizontal_;
  Clamp clamp_;
  std::shared_ptr<const Weights> weights_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Plan> plan_;
};

}  // namespace

std::unique_ptr<Node> make_convolution(const Info& info) { return std::make_unique<Convolution>(info); }

}  // namespace compress_sparse
