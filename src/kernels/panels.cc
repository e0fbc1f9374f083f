#include "kernels/panels.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "base/half.h"
#include "kernels/pack_blocks.h"
#include "kernels/packing.h"

namespace lazyfill::panels {
namespace {

constexpr size_t kSuperBlock = 256;  // inputs of a block of the K types
constexpr size_t kSubBlocks = kSuperBlock / kBlock;

LAZYFILL_AVX2_FUNCTION void split_nibbles(const uint8_t* bytes, uint8_t* codes) {
  for (size_t i = 0; i < kBlock / 2; ++i) {
    codes[i] = bytes[i] & 0xF;
    codes[i + kBlock / 2] = bytes[i] >> 4;
  }
}

LAZYFILL_AVX2_FUNCTION void set_scale(uint16_t scale, BlockParts& parts) {
  parts.scales[0] = parts.scales[1] = scale;
}

// minimum + zero_point * scale; see panels.h.
LAZYFILL_AVX2_FUNCTION void set_offset(float minimum, float zero_point, BlockParts& parts) {
  parts.offset = to_half(minimum + zero_point * _cvtsh_ss(parts.scales[0]));
}

LAZYFILL_AVX2_FUNCTION void add_fifth_bits(uint32_t bits, uint8_t* codes) {
  for (size_t i = 0; i < kBlock; ++i) codes[i] |= static_cast<uint8_t>(((bits >> i) & 1U) << 4);
}

LAZYFILL_AVX2_FUNCTION void read_q4_0(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block * 18;
  set_scale(load_unaligned<uint16_t>(from), parts);
  split_nibbles(from + 2, parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_q4_1(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block * 20;
  set_scale(load_unaligned<uint16_t>(from), parts);
  set_offset(read_half(from + 2), 8, parts);
  split_nibbles(from + 4, parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_q5_0(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block * 22;
  set_scale(load_unaligned<uint16_t>(from), parts);
  split_nibbles(from + 6, parts.codes);
  add_fifth_bits(load_unaligned<uint32_t>(from + 2), parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_q5_1(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block * 24;
  set_scale(load_unaligned<uint16_t>(from), parts);
  set_offset(read_half(from + 2), 16, parts);
  split_nibbles(from + 8, parts.codes);
  add_fifth_bits(load_unaligned<uint32_t>(from + 4), parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_q8_0(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block * 34;
  set_scale(load_unaligned<uint16_t>(from), parts);
  for (size_t i = 0; i < kBlock; ++i) parts.codes[i] = static_cast<uint8_t>(from[2 + i] ^ 0x80U);
}

// Scale and minimum of a sub-block of Q4_K and Q5_K: fp16 d and dmin, then six bits of each for eight
// sub-blocks.
LAZYFILL_AVX2_FUNCTION void read_k_scales(const uint8_t* from, size_t sub, float zero_point,
                                          BlockParts& parts) {
  const uint8_t* packed = from + 4;
  int scale = packed[sub % 4] & 63;
  int minimum = packed[sub % 4 + 4] & 63;
  if (sub >= 4) {
    scale = (packed[sub + 4] & 0xF) | ((packed[sub - 4] >> 6) << 4);
    minimum = (packed[sub + 4] >> 4) | ((packed[sub] >> 6) << 4);
  }
  set_scale(to_half(read_half(from) * static_cast<float>(scale)), parts);
  set_offset(-read_half(from + 2) * static_cast<float>(minimum), zero_point, parts);
}

LAZYFILL_AVX2_FUNCTION void read_k_nibbles(const uint8_t* nibbles, size_t sub, uint8_t* codes) {
  const int shift = sub % 2 == 0 ? 0 : 4;
  for (size_t i = 0; i < kBlock; ++i) codes[i] = (nibbles[sub / 2 * kBlock + i] >> shift) & 0xF;
}

LAZYFILL_AVX2_FUNCTION void read_q4_k(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 144;
  const size_t sub = block % kSubBlocks;
  read_k_scales(from, sub, 8, parts);
  read_k_nibbles(from + 16, sub, parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_q5_k(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 176;
  const size_t sub = block % kSubBlocks;
  read_k_scales(from, sub, 16, parts);
  read_k_nibbles(from + 48, sub, parts.codes);
  for (size_t i = 0; i < kBlock; ++i) {
    parts.codes[i] |= static_cast<uint8_t>(((from[16 + i] >> sub) & 1) << 4);
  }
}

LAZYFILL_AVX2_FUNCTION void read_q6_k(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 210;
  const size_t sub = block % kSubBlocks;
  const size_t half = sub / 4;
  const size_t quarter = sub % 4;
  const uint8_t* nibbles = from + half * 64 + quarter % 2 * kBlock;
  const uint8_t* pairs = from + 128 + half * kBlock;
  const int nibble_shift = quarter < 2 ? 0 : 4;
  const int pair_shift = static_cast<int>(2 * quarter);
  for (size_t i = 0; i < kBlock; ++i) {
    const int low = (nibbles[i] >> nibble_shift) & 0xF;
    parts.codes[i] = static_cast<uint8_t>(low | (((pairs[i] >> pair_shift) & 3) << 4));
  }
  const float d = read_half(from + 208);
  for (size_t group = 0; group < 2; ++group) {
    const auto scale = static_cast<int8_t>(from[192 + 2 * sub + group]);
    parts.scales[group] = to_half(d * static_cast<float>(scale));
  }
}

// What to make of a type: its tag, how its codes and scales are stored, bytes of a panel's block (or of one
// input's 16 floats).
struct Plan {
  Tag tag;
  int stored_bits;
  Scales scales;
  size_t n_scale_groups;
  bool has_offset;
  size_t block_bytes;
  void (*read)(const uint8_t* row, size_t block, BlockParts& parts);  // null: floats
};

template <class Layout>
Plan plan_of(Tag tag, void (*read)(const uint8_t*, size_t, BlockParts&)) {
  return {tag,
          Layout::kStoredBits,
          Layout::kScales,
          Layout::kScaleGroups,
          Layout::kHasOffset,
          Layout::kBlockBytes,
          read};
}

Plan plan_of_floats(Tag tag, size_t n_bytes) {
  return {tag, 0, Scales::kHalf, 0, false, kOutputs * n_bytes, nullptr};
}

// Empty for a type that the table of gguf/tensor_type.cc reads and nothing here packs.
std::optional<Plan> plan_for(gguf::TensorType type) {
  using Type = gguf::TensorType;
  switch (type) {
    case Type::kQ4_0:
      return plan_of<U4>(kU4, read_q4_0);
    case Type::kQ4_1:
      return plan_of<U4Offset>(kU4Offset, read_q4_1);
    case Type::kQ4_K:
      return plan_of<U4Offset>(kU4Offset, read_q4_k);
    case Type::kQ5_0:
      return plan_of<U5>(kU5, read_q5_0);
    case Type::kQ5_1:
      return plan_of<U5Offset>(kU5Offset, read_q5_1);
    case Type::kQ5_K:
      return plan_of<U5Offset>(kU5Offset, read_q5_k);
    case Type::kQ6_K:
      return plan_of<U6>(kU6, read_q6_k);
    case Type::kQ8_0:
      return plan_of<U8>(kU8, read_q8_0);
    case Type::kQ2_K:
      return plan_of<U2Minima>(kU2Minima, read_q2_k);
    case Type::kQ3_K:
      return plan_of<U3>(kU3, read_q3_k);
    case Type::kTQ1_0:
      return plan_of<Ternary>(kTernary, read_tq1_0);
    case Type::kTQ2_0:
      return plan_of<Ternary>(kTernary, read_tq2_0);
    case Type::kIQ4_NL:
      return plan_of<Table8>(kTable8, read_iq4_nl);
    case Type::kIQ4_XS:
      return plan_of<Table8>(kTable8, read_iq4_xs);
    case Type::kMXFP4:
      return plan_of<Table5>(kTable5, read_mxfp4);
    case Type::kF16:
      return plan_of_floats(kF16, 2);
    case Type::kBF16:
      return plan_of_floats(kBf16, 2);
    case Type::kF32:
      return plan_of_floats(kF32, 4);
    default:
      return std::nullopt;
  }
}

size_t blocks_of(const Plan& plan, size_t n_in) {
  return plan.read == nullptr ? n_in : n_in / kBlock;
}

// Two bits of each code, those above its first `shift`.
LAZYFILL_AVX2_FUNCTION void store_pairs(const uint8_t* codes, int shift, uint8_t* to) {
  for (size_t half = 0; half < 2; ++half) {
    for (size_t j = 0; j < kGroupBytes; ++j) {
      unsigned byte = 0;
      for (size_t i = 0; i < 4; ++i) {
        byte |= ((codes[half * 256 + i * kGroupBytes + j] >> shift) & 3U) << (2 * i);
      }
      to[half * kGroupBytes + j] = static_cast<uint8_t>(byte);
    }
  }
}

// One bit of each code, the one above its first `shift`.
LAZYFILL_AVX2_FUNCTION void store_bits(const uint8_t* codes, int shift, uint8_t* to) {
  for (size_t j = 0; j < kGroupBytes; ++j) {
    unsigned byte = 0;
    for (size_t g = 0; g < kInputGroups; ++g) byte |= ((codes[g * kGroupBytes + j] >> shift) & 1U) << g;
    to[j] = static_cast<uint8_t>(byte);
  }
}

LAZYFILL_AVX2_FUNCTION void store_codes(int bits, const uint8_t* codes, uint8_t* to) {  // codes [8][16][4]
  if (bits == 8) {
    std::memcpy(to, codes, 512);
  } else if (bits < 4) {
    store_pairs(codes, 0, to);
    if (bits == 3) store_bits(codes, 2, to + 128);
  } else {
    for (size_t j = 0; j < 256; ++j) {
      to[j] = static_cast<uint8_t>((codes[j] & 0xF) | ((codes[j + 256] & 0xF) << 4));
    }
    if (bits == 5) store_bits(codes, 4, to + 256);
    if (bits == 6) store_pairs(codes, 4, to + 256);
  }
}

// The parts of a panel's block, output by output.
struct PanelParts {
  uint8_t codes[kInputGroups * kGroupBytes] = {};
  uint16_t scales[2][kOutputs] = {};
  uint16_t offsets[kOutputs] = {};
  uint8_t small_scales[2][kOutputs] = {};
  uint16_t factors[2][kOutputs] = {};

  LAZYFILL_AVX2_FUNCTION void set(size_t output, const BlockParts& parts) {
    for (size_t g = 0; g < kInputGroups; ++g) {
      std::memcpy(codes + g * kGroupBytes + output * 4, parts.codes + g * 4, 4);
    }
    offsets[output] = parts.offset;
    for (size_t i = 0; i < 2; ++i) {
      scales[i][output] = parts.scales[i];
      small_scales[i][output] = parts.small_scales[i];
      factors[i][output] = parts.factors[i];
    }
  }
};

LAZYFILL_AVX2_FUNCTION void store_scales(const Plan& plan, const PanelParts& parts, uint8_t* to) {
  const auto put = [&to](const void* from, size_t n_bytes) {
    std::memcpy(to, from, n_bytes);
    to += n_bytes;
  };
  if (plan.scales == Scales::kHalf || plan.scales == Scales::kBf16) {
    put(parts.scales, plan.n_scale_groups * sizeof(parts.scales[0]));
  } else {
    put(parts.small_scales, plan.n_scale_groups * sizeof(parts.small_scales[0]));
    put(parts.factors, plan.scales == Scales::kWithMinima ? sizeof(parts.factors) : sizeof(parts.factors[0]));
  }
  if (plan.has_offset) put(parts.offsets, sizeof(parts.offsets));
}

// Block `block` of outputs [out, out + n) to its place.
LAZYFILL_AVX2_FUNCTION void pack_block(const Plan& plan, const RawMatrix& raw, size_t row_bytes, size_t out,
                                       size_t n, size_t block, uint8_t* to) {
  PanelParts panel;
  for (size_t p = 0; p < n; ++p) {
    BlockParts parts{};
    plan.read(reinterpret_cast<const uint8_t*>(raw.data) + (out + p) * row_bytes, block, parts);
    panel.set(p, parts);
  }
  store_codes(plan.stored_bits, panel.codes, to);
  store_scales(plan, panel, to + 64 * static_cast<size_t>(plan.stored_bits));
}

// Outputs [out, out + n) of floats, transposed in strips that stay in cache.
template <class T>
void pack_floats(const RawMatrix& raw, size_t out, size_t n, std::byte* to) {
  const auto* rows = reinterpret_cast<const uint8_t*>(raw.data) + out * raw.n_in * sizeof(T);
  constexpr size_t kStrip = 16;
  for (size_t begin = 0; begin < raw.n_in; begin += kStrip) {
    const size_t end = std::min(raw.n_in, begin + kStrip);
    for (size_t p = 0; p < n; ++p) {
      for (size_t i = begin; i < end; ++i) {
        std::memcpy(to + (i * kOutputs + p) * sizeof(T), rows + (p * raw.n_in + i) * sizeof(T), sizeof(T));
      }
    }
  }
}

}  // namespace

Result<PackedMatrix> begin_pack(const RawMatrix& raw) {
  const Result<size_t> row_bytes = checked_row_bytes(raw);
  if (!row_bytes) return tl::unexpected(row_bytes.error());
  const std::optional<Plan> found = plan_for(raw.type);
  if (!found) {
    return fail(ErrorCode::kUnsupported,
                "A weight matrix has the type " + std::string(gguf::traits_of(raw.type)->name) +
                    ", which has no packed form yet; LAZYFILL_ISA=reference computes with it.");
  }
  const Plan& plan = *found;
  const size_t n_panels = (raw.n_out + kOutputs - 1) / kOutputs;
  Result<Buffer<std::byte>> bytes = make_buffer(n_panels * blocks_of(plan, raw.n_in) * plan.block_bytes);
  if (!bytes) return tl::unexpected(bytes.error());
  PackedMatrix packed;
  packed.n_out = raw.n_out;
  packed.n_in = raw.n_in;
  packed.layout = plan.tag;
  packed.row_format = plan.read == nullptr ? RowFormat::kF32 : RowFormat::kQ8;
  packed.bytes = std::move(*bytes);
  return packed;
}

void pack_outputs(const RawMatrix& raw, PackedMatrix& packed, size_t out_begin) {
  const Plan plan = *plan_for(raw.type);          // there: begin_pack has checked
  const auto traits = gguf::traits_of(raw.type);  // known: begin_pack has checked
  const size_t row_bytes = raw.n_in / traits->block_elements * traits->block_bytes;
  const size_t n_blocks = blocks_of(plan, raw.n_in);
  for (size_t out = 0; out < raw.n_out; out += kOutputs) {
    const size_t n = std::min(kOutputs, raw.n_out - out);
    std::byte* to = packed.bytes.data() + (out_begin + out) / kOutputs * n_blocks * plan.block_bytes;
    if (plan.tag == kF32) {
      pack_floats<float>(raw, out, n, to);
    } else if (plan.read == nullptr) {
      pack_floats<uint16_t>(raw, out, n, to);
    } else {
      for (size_t block = 0; block < n_blocks; ++block) {
        pack_block(plan, raw, row_bytes, out, n, block,
                   reinterpret_cast<uint8_t*>(to) + block * plan.block_bytes);
      }
    }
  }
}

}  // namespace lazyfill::panels
