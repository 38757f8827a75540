#include "worker/file/private_files.h"

#include <system_error>

namespace egalaxyd {

PrivateFiles PrivateFiles::keysOf(const Config& config) {
  PrivateFiles keys;
  keys.add(config.tls.key);
  for (const SiteConfig& site : config.sites) keys.add(site.key);
  std::error_code unreadable;  // then there are no automatic certificates
  for (const auto& entry :
       std::filesystem::directory_iterator(config.server.stateDir / "certificates", unreadable)) {
    if (entry.path().extension() == ".key") keys.add(entry.path());
  }
  return keys;
}

void PrivateFiles::add(const std::filesystem::path& file) {
  struct stat status {};
  if (!file.empty() && ::stat(file.c_str(), &status) == 0) {
    files_.insert({status.st_dev, status.st_ino});
  }
}

}  // namespace egalaxyd
