// Blocks of the types below four bits and of those whose codes look weights up in a table, as ggml defines
// them. Internal to gguf/ but for the parts that the kernels repack: consumers use dequantize().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lazyfill::gguf {

// What a code of IQ4_NL and IQ4_XS stands for, times the scale.
inline constexpr std::array<int8_t, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};
// What a code of MXFP4 stands for: e2m1 of the OCP microscaling formats (version 1.0, section 5.3.3),
// doubled.
inline constexpr std::array<int8_t, 16> kMxfp4Values = {0, 1,  2,  3,  4,  6,  8,  12,
                                                        0, -1, -2, -3, -4, -6, -8, -12};

// Half of 2^(exponent - 127), since the values above are doubled; exact down to the smallest exponent.
float mxfp4_scale(uint8_t exponent);

// The signed scale of 16 elements (group 0 to 15) of a block of Q3_K, and of 32 (group 0 to 7) of one of
// IQ4_XS, before it is multiplied with the block's.
int q3_k_scale(const uint8_t* block, size_t group);
int iq4_xs_scale(const uint8_t* block, size_t group);

// Codes of elements [32 * sub, 32 * sub + 32) of a block of 256: 0 to 3, 0 to 7 (zero at 4), 0 to 2 or 3
// (zero at 1).
void q2_k_codes(const uint8_t* block, size_t sub, uint8_t* codes);
void q3_k_codes(const uint8_t* block, size_t sub, uint8_t* codes);
void tq1_0_codes(const uint8_t* block, size_t sub, uint8_t* codes);
void tq2_0_codes(const uint8_t* block, size_t sub, uint8_t* codes);

// One block to fp32.
void expand_q2_k(const uint8_t* block, float* out);
void expand_q3_k(const uint8_t* block, float* out);
void expand_iq4_nl(const uint8_t* block, float* out);
void expand_iq4_xs(const uint8_t* block, float* out);
void expand_mxfp4(const uint8_t* block, float* out);
void expand_tq1_0(const uint8_t* block, float* out);
void expand_tq2_0(const uint8_t* block, float* out);

}  // namespace lazyfill::gguf
