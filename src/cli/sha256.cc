#include "cli/sha256.h"

#include <openssl/evp.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "cli/text.h"

namespace lazyfill::cli {

Result<std::string> sha256_of_file(const std::string& path) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!file) return fail(ErrorCode::kNotFound, "cannot read " + quote(path) + " again: check its folder");
  bool is_good = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::vector<char> bytes(size_t{1} << 20);
  for (size_t n = 1; is_good && n > 0;) {
    n = std::fread(bytes.data(), 1, bytes.size(), file.get());
    is_good = EVP_DigestUpdate(context.get(), bytes.data(), n) == 1;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned n_digest = 0;
  if (!is_good || std::ferror(file.get()) != 0 || EVP_DigestFinal_ex(context.get(), digest, &n_digest) != 1)
    return fail(ErrorCode::kNotFound, "cannot compute the checksum of " + quote(path) + ": check the disk");
  std::string text;
  for (unsigned i = 0; i < n_digest; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace lazyfill::cli
