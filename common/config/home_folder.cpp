#include "common/config/home_folder.h"

#include <pwd.h>

#include <algorithm>
#include <string>

#include "common/base/environment.h"

namespace egalaxyd {

Result<std::filesystem::path> withHomeFolder(const std::filesystem::path& path) {
  const std::string text = path.string();
  if (!text.starts_with('~')) return path;
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string name = text.substr(1, slash - 1);
  const std::string rest = text.substr(slash);
  if (name.empty()) {
    const std::string home = environmentVariable("HOME");
    if (home.starts_with('/')) return std::filesystem::path(home + rest);
    return Error{ErrorCode::kInvalid,
                 "\"~\" is the home folder of whoever starts the server, and HOME is not set; "
                 "write the whole path"};
  }
  const passwd* account = ::getpwnam(name.c_str());
  if (account != nullptr && account->pw_dir != nullptr) {
    return std::filesystem::path(account->pw_dir + rest);
  }
  return Error{ErrorCode::kInvalid, "found \"~" + name + "\", and there is no account \"" + name +
                                        "\" on this machine; write the whole path (\"./~" + name +
                                        "\" is a file of that name)"};
}

}  // namespace egalaxyd
