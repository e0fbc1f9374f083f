#include "decoding/json_formats.h"

#include <utility>

namespace lazyfill {
namespace {

// Days that every year has in the month; the 29th of February only where four years in turn have it.
#define LAZYFILL_DATE                                                                                    \
  "((?:[0-9]{4})-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)" \
  "|02-(?:0[1-9]|1[0-9]|2[0-8]))|[0-9]{2}(?:0[48]|[2468][048]|[13579][26])-02-29)"
#define LAZYFILL_TIME \
  "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define LAZYFILL_BYTE "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define LAZYFILL_IPV4 LAZYFILL_BYTE "(?:\\." LAZYFILL_BYTE "){3}"
#define LAZYFILL_GROUP "[0-9A-Fa-f]{1,4}"
// A label that does not begin with two characters and two hyphens, which would promise another script.
#define LAZYFILL_LABEL "(?:[A-Za-z0-9](?:[A-Za-z0-9]{0,20}(?:-[A-Za-z0-9]{1,12}){0,3})?)"
#define LAZYFILL_HOST LAZYFILL_LABEL "(?:\\." LAZYFILL_LABEL "){0,3}"
#define LAZYFILL_PATH "(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
#define LAZYFILL_QUERY                                  \
  "(?:\\?"                                              \
  "(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*" \
  ")?"
#define LAZYFILL_HASH                                   \
  "(?:#"                                                \
  "(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*" \
  ")?"
#define LAZYFILL_URI                                                              \
  "[A-Za-z][A-Za-z0-9+.-]*://" LAZYFILL_HOST "(?::[0-9]{1,4})?(?:/" LAZYFILL_PATH \
  ")?" LAZYFILL_QUERY LAZYFILL_HASH

constexpr std::pair<std::string_view, std::string_view> kFormats[] = {
    {"date", LAZYFILL_DATE},
    {"time", LAZYFILL_TIME},
    {"date-time", LAZYFILL_DATE "[Tt]" LAZYFILL_TIME},
    {"duration",
     "P(?:[0-9]+W|[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
     "|P(?:[0-9]+D)?T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"},
    {"email", "[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@" LAZYFILL_HOST},
    {"idn-email", "[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@" LAZYFILL_HOST},
    {"hostname", LAZYFILL_HOST},
    {"idn-hostname", LAZYFILL_HOST},
    {"ipv4", LAZYFILL_IPV4},
    {"ipv6",
     "(?:" LAZYFILL_GROUP ":){7}" LAZYFILL_GROUP "|::(?:" LAZYFILL_GROUP "(?::" LAZYFILL_GROUP "){0,5})?"
     "|" LAZYFILL_GROUP "(?::" LAZYFILL_GROUP "){0,2}::(?:" LAZYFILL_GROUP "(?::" LAZYFILL_GROUP "){0,2})?"
     "|(?:" LAZYFILL_GROUP ":){6}" LAZYFILL_IPV4 "|::(?:[Ff]{4}:)?" LAZYFILL_IPV4},
    {"uuid", "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"},
    {"uri", LAZYFILL_URI "|(?:mailto|tel|urn|news):[A-Za-z0-9][A-Za-z0-9.:@-]*"},
    {"iri", LAZYFILL_URI "|(?:mailto|tel|urn|news):[A-Za-z0-9][A-Za-z0-9.:@-]*"},
    {"uri-reference",
     LAZYFILL_URI "|/?(?:[A-Za-z0-9._~-]+/)*(?:[A-Za-z0-9._~-]+)?" LAZYFILL_QUERY LAZYFILL_HASH},
    {"iri-reference",
     LAZYFILL_URI "|/?(?:[A-Za-z0-9._~-]+/)*(?:[A-Za-z0-9._~-]+)?" LAZYFILL_QUERY LAZYFILL_HASH},
    {"json-pointer", "(?:/(?:[^~/]|~[01])*)*"},
    {"relative-json-pointer", "(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~[01])*)*)"},
};

}  // namespace

std::string_view json_format(std::string_view name) {
  for (const auto& [known, pattern] : kFormats) {
    if (known == name) return pattern;
  }
  return {};
}

}  // namespace lazyfill
