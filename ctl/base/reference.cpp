#include "ctl/base/reference.h"

#include <algorithm>
#include <string_view>

namespace egalaxyd::ctl {
namespace {

std::string withoutDotSegments(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    if (segment == "/." || segment == "/..") {
      if (segment == "/..") out.erase(std::min(out.rfind('/'), out.size()));
      if (path.empty()) out += '/';
    } else {
      out += segment;
    }
  }
  return out;
}

}  // namespace

std::string resolveReference(const std::string& base, const std::string& reference) {
  if (reference.find(':') < reference.find_first_of("/?#")) return reference;
  const std::size_t authority = base.find("://") + 3;
  if (reference.starts_with("//")) return base.substr(0, authority - 2) + reference;
  const std::size_t pathBegin = std::min(base.find_first_of("/?", authority), base.size());
  const std::size_t pathEnd = std::min(base.find('?', pathBegin), base.size());
  const std::string root = base.substr(0, pathBegin);
  const std::string path = base.substr(pathBegin, pathEnd - pathBegin);
  if (reference.empty()) return base;
  if (reference.front() == '?') return root + path + reference;
  const std::size_t end = std::min(reference.find_first_of("?#"), reference.size());
  const std::string folder = path.empty() ? "/" : path.substr(0, path.rfind('/') + 1);
  const std::string full =
      reference.front() == '/' ? reference.substr(0, end) : folder + reference.substr(0, end);
  return root + withoutDotSegments(full) + reference.substr(end);
}

}  // namespace egalaxyd::ctl
