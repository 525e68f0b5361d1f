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
// on aligned copies of what a k-block needs, once each element is used often enough to repay the copy.
constexpr double kUses = 3;

// Sums between k-blocks wait in the second cache; each share of the rows makes copies of its own.
constexpr int32_t kRowsAtATime = 512;

constexpr int64_t kFar = 1 << 19;  // floats of an output that the second cache does not hold beside the input

constexpr size_t kNear = 6144;  // floats of the first cache that channels are laid in together

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

enum class Layout { kDirect, kPlanes };
using Phase = std::pair<int64_t, int64_t>;  // of a stride: vertical, horizontal

// How pictures of one height and width are computed.
struct Plan {
  int64_t height, width, out_height, out_width;
  Layout layout;
  std::vector<int32_t> places;   // of element k of a column of X
  std::vector<int32_t> offsets;  // of each weight
  std::vector<Stretch> tiles;
  std::vector<int32_t> shares;  // of the rows; with several groups of channels, the rows of each
  // kPlanes: phases that are used, and how a plane of one lies in memory. A depthwise filter of neighbours (`side`) reads
  // whole planes with any stride.
  int64_t side = 0;
  Axis vertical{}, horizontal{};
  std::vector<Phase> phases;
  int64_t pitch = 0, plane_rows = 0, plane_floats = 0, margin = 0;
  std::vector<std::vector<Segment>> pieces;  // of each tile, where its columns are put together from rows
  int32_t copied = 0;  // floats from one column of X to the next in the copies of tiles; 0: they are read in place
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
    if (groups_ > 1) return channels_ == groups_ && features_ == groups_ ? by_channel(run, job) : by_group(run, job);
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
      plan->layout = Layout::kDirect;
      plan->tiles = stretches({pixels, pixels, pixels, true}, weights_->block, set);
      fit(pixels * group_channels_);
      for (int64_t c = 0; c < group_channels_; ++c) plan->places.push_back(static_cast<int32_t>(c * pixels));
    }
    share_out(plan.get());
    const double uses = static_cast<double>(weights_->indices.size()) / static_cast<double>(weights_->columns) /
                        static_cast<double>(plan->shares.size() - 1);
    if (groups_ == 1 && weights_->block == 1 && uses >= kUses) copy_tiles(plan.get());
    plan->offsets = resolved(*weights_, plan->copied ? places_in_copy(*plan) : plan->places);
    return plan;
  }

  // Columns of X are put together without the zeros between rows, so that tiles are of pixels that are wanted.
  void copy_tiles(Plan* plan) const {
    const Kernels& set = kernels();
    const int64_t pixels = plan->out_height * plan->out_width;
    if (plan->layout == Layout::kPlanes && pixels >= set.width) {
      plan->tiles = stretches({pixels, pixels, pixels, true}, weights_->block, set);
      for (const Stretch& tile : plan->tiles) plan->pieces.push_back(pieces_of(*plan, tile.from, tile.from + tile.last + set.width));
      share_out(plan);
    }
    for (const Stretch& tile : plan->tiles) plan->copied = std::max(plan->copied, tile.vectors * set.width);
  }

  static std::vector<Segment> pieces_of(const Plan& plan, int64_t from, int64_t to) {
    std::vector<Segment> found;
    for (int64_t at = from; at < to;) {
      const int64_t row = at / plan.out_width, end = std::min(to, (row + 1) * plan.out_width);
      found.push_back({static_cast<int32_t>(row * plan.pitch + at - row * plan.out_width), static_cast<int32_t>(at - from), static_cast<int32_t>(end - at)});
      at = end;
    }
    return found;
  }

  std::vector<int32_t> places_in_copy(const Plan& plan) const {
    std::vector<int32_t> found;
    for (uint32_t k = 0; k < weights_->columns; ++k) found.push_back(static_cast<int32_t>(k % weights_->per_block) * plan.copied);
    return found;
  }

  void share_out(Plan* plan) const {
    if (groups_ > 1) {
      const auto of_one = static_cast<int32_t>(features_ / groups_ / weights_->block);
      for (int32_t g = 0; g <= static_cast<int32_t>(groups_); ++g) plan->shares.push_back(g * of_one);
      return;
    }
    plan->shares.clear();
    const auto tasks = static_cast<int64_t>(plan->tiles.size());
    const int64_t partial_rows = weights_->k_blocks > 1 ? (weights_->groups + kRowsAtATime - 1) / kRowsAtATime : 1;
    plan->shares = shares(*weights_, static_cast<int32_t>(std::max(partial_rows, wanted_parts(tasks))));
  }

  void lay_planes(Plan* plan) const {
    plan->layout = Layout::kPlanes;
    plan->vertical = vertical_;
    plan->horizontal = horizontal_;
    plan->side = side();
    int64_t rows = plan->out_height, columns = plan->out_width;
    if (plan->side) {
      rows = (rows - 1) * vertical_.stride + 1;
      columns = (columns - 1) * horizontal_.stride + 1;
      plan->vertical.stride = plan->horizontal.stride = 1;
    }
    const Axis &vertical = plan->vertical, &horizontal = plan->horizontal;
    const int64_t before = std::max<int64_t>(0, -horizontal.least());
    const int64_t after = std::max<int64_t>(0, horizontal.most());
    // Zeros before a row serve as the zeros after the row above it.
    const int64_t real = std::min(columns + after, (plan->width + horizontal.stride - 1) / horizontal.stride);
    plan->pitch = std::max(columns + after, real + before);
    plan->margin = before;
    plan->plane_rows = rows + vertical.most() - vertical.least();
    plan->plane_floats = (before + plan->plane_rows * plan->pitch + 15) / 16 * 16;
    each_tap(*plan, [&](const Phase& phase, int64_t, int64_t) {
      if (std::find(plan->phases.begin(), plan->phases.end(), phase) == plan->phases.end()) plan->phases.push_back(phase);
    });
    const auto planes = static_cast<int64_t>(plan->phases.size());
    fit(plan->plane_floats * planes * group_channels_);
    for (int64_t c = 0; c < group_channels_; ++c) {
      each_tap(*plan, [&](const Phase& phase, int64_t ky, int64_t kx) {
        const int64_t at = std::find(plan->phases.begin(), plan->phases.end(), phase) - plan->phases.begin();
        plan->places.push_back(static_cast<int32_t>((c * planes + at) * plan->plane_floats + before +
                                                     (vertical.shift(ky) - vertical.least()) * plan->pitch + horizontal.shift(kx)));
      });
    }
    const Kernels& set = kernels();
    const int64_t length = (plan->out_height - 1) * plan->pitch + plan->out_width;
    plan->tiles = stretches({length, plan->pitch, plan->out_width, length >= set.width}, weights_->block, set);
    plan->scratch = static_cast<size_t>(plan->plane_floats * planes * group_channels_ + 2 * set.width + 16);
  }

  template <typename What>
  void each_tap(const Plan& plan, const What& what) const {
    for (int64_t ky = 0; ky < vertical_.kernel; ++ky)
      for (int64_t kx = 0; kx < horizontal_.kernel; ++kx) what(Phase{plan.vertical.phase(ky), plan.horizontal.phase(kx)}, ky, kx);
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
    tile.far = job.pictures * features_ * tile.row_stride >= kFar;
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
    if (job.plan.copied) {
      tile.places = job.plan.places.data();
      tile.columns = static_cast<int32_t>(weights_->columns);
      tile.per_block = static_cast<int32_t>(weights_->per_block);
      tile.pitch = job.plan.copied;
      tile.copy = thread_scratch(kCopy, weights_->per_block * static_cast<size_t>(tile.pitch) + static_cast<size_t>(kernels().width));
      if (!job.plan.pieces.empty()) {
        const std::vector<Segment>& pieces = job.plan.pieces[static_cast<size_t>(&stretch - job.plan.tiles.data())];
        tile.pieces = pieces.data();
        tile.piece_count = static_cast<int32_t>(pieces.size());
      }
    }
    if (tile.k_blocks > 1)
      tile.partial = thread_scratch(kPartial, static_cast<size_t>(tile.end - tile.begin) * static_cast<size_t>(tile.vectors * kernels().width));
    kernels().tile(weights_->block, tile);
  }

  // Channels that need no zeros around them: read where they are.
  void all_at_once(Run& run, const Job& job) const {
    const Plan& plan = job.plan;
    const size_t tiles = plan.tiles.size(), parts = plan.shares.size() - 1;
    run.parallel(tiles * parts * static_cast<size_t>(job.pictures), worth(job), [&](size_t i) {
      const size_t share = i % parts;
      const auto picture = static_cast<int64_t>(i / parts / tiles);
      const Stretch& stretch = plan.tiles[i / parts % tiles];
      const int64_t first = groups_ > 1 ? static_cast<int64_t>(share) * group_channels_ : 0;
      Tile tile = tile_of(job, stretch);
      tile.x = job.x + (picture * channels_ + first) * plan.height * plan.width + stretch.from;
      compute(job, tile, stretch, picture, share);
    });
  }

  // Channels with zeros around them, one picture after another so that the planes stay in the cache.
  void by_picture(Run& run, const Job& job) const {
    const Plan& plan = job.plan;
    float* const planes = run.scratch(plan.scratch);
    const size_t tiles = plan.tiles.size(), parts = plan.shares.size() - 1;
    for (int64_t picture = 0; picture < job.pictures; ++picture) {
      const float* const x = job.x + picture * channels_ * plan.height * plan.width;
      const auto count = static_cast<size_t>(channels_);
      const auto parts_of_all = static_cast<size_t>(wanted_tasks());
      const size_t at_a_time = (count + parts_of_all - 1) / parts_of_all;
      run.parallel((count + at_a_time - 1) / at_a_time, worth(job), [&](size_t i) {
        const size_t first = i * at_a_time;
        const size_t floats = plan.phases.size() * static_cast<size_t>(plan.plane_floats);
        pad(plan, x + first * static_cast<size_t>(plan.height * plan.width), std::min(at_a_time, count - first), planes + first * floats);
      });
      run.parallel(tiles * parts, worth(job), [&](size_t i) {
        const Stretch& stretch = plan.tiles[i / parts];
        Tile tile = tile_of(job, stretch);
        tile.x = plan.pieces.empty() ? planes + stretch.from : planes;
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
      pad(plan, x, static_cast<size_t>(group_channels_), planes);
      for (const Stretch& stretch : plan.tiles) {
        Tile tile = tile_of(job, stretch);
        tile.x = planes + stretch.from;
        compute(job, tile, stretch, static_cast<int64_t>(picture), group);
      }
    });
  }

  // Each channel with a filter of its own: the zeros around them are laid once for a range of channels.
  void by_channel(Run& run, const Job& job) const {
    const Plan& plan = job.plan;
    const auto all = static_cast<size_t>(channels_ * job.pictures);
    const size_t at_a_time = std::max<size_t>(1, all / static_cast<size_t>(4 * wanted_tasks()));
    run.parallel((all + at_a_time - 1) / at_a_time, worth(job), [&](size_t task) {
      // What was just stored in pieces cannot be loaded as a whole at once: some channels are laid, then filtered.
      const size_t together = std::clamp<size_t>(kNear / plan.scratch, 1, 16), floats = plan.scratch;
      float* const planes = thread_scratch(kCopy, floats * together);
      std::fill(planes, planes + floats * together, 0.0f);
      const size_t end = std::min(all, (task + 1) * at_a_time);
      for (size_t first = task * at_a_time; first < end;) {
        const size_t channel = first % static_cast<size_t>(channels_);
        const size_t some = std::min({together, end - first, static_cast<size_t>(channels_) - channel});
        pad(plan, job.x + static_cast<int64_t>(first) * plan.height * plan.width, some, planes, floats);
        filter(job, planes, first, channel, some);
        first += some;
      }
    });
  }

  void filter(const Job& job, const float* planes, size_t at, size_t channel, size_t count) const {
    const Plan& plan = job.plan;
    const size_t first = at * static_cast<size_t>(plan.out_height * plan.out_width);
    kernels().depthwise({planes, static_cast<int64_t>(count), static_cast<int64_t>(plan.scratch), weights_->starts.data() + channel, plan.offsets.data(),
                         weights_->values.data(), job.bias ? job.bias + channel : nullptr, job.residual ? job.residual + first : nullptr,
                         job.y + first, plan.out_height, plan.out_width, plan.pitch, plan.side, vertical_.stride, clamp_.low, clamp_.high});
  }

  // Of a depthwise filter of neighbours that has all its weights; else 0.
  int64_t side() const {
    const int64_t side = vertical_.kernel, stride = vertical_.stride;
    const auto is_plain = [&](const Axis& axis) { return axis.kernel == side && axis.stride == stride && axis.dilation == 1; };
    if (channels_ != groups_ || features_ != groups_ || (side != 3 && side != 5) || stride > 2) return 0;
    const bool full = weights_->values.size() == static_cast<size_t>(groups_ * side * side);
    return full && is_plain(vertical_) && is_plain(horizontal_) ? side : 0;
  }

  // Lays `count` channels. Where each has planes of its own `apart` floats from the next, their zeros are there already.
  void pad(const Plan& plan, const float* x, size_t count, float* planes, size_t apart = 0) const {
    const auto phases = static_cast<int64_t>(plan.phases.size());
    for (int64_t at = 0; at < phases; ++at) {
      const auto [phase_y, phase_x] = plan.phases[static_cast<size_t>(at)];
      const int64_t held = (plan.width - phase_x + plan.horizontal.stride - 1) / plan.horizontal.stride;
      kernels().lay({x, planes + at * plan.plane_floats, static_cast<int64_t>(count), apart ? static_cast<int64_t>(apart) : phases * plan.plane_floats,
                     plan.height, plan.width, plan.vertical.least() * plan.vertical.stride + phase_y, plan.vertical.stride, phase_x,
                     plan.horizontal.stride, plan.plane_rows, std::max<int64_t>(0, std::min(plan.pitch - plan.margin, held)), plan.pitch,
                     plan.margin, apart != 0});
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
