// An archive that somebody wants restored: however it is cut into parts, it is read alike, and no
// file is passed on under a name that leads elsewhere.
#include "common/archive/backup_archive.h"

#include <string>

#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {
namespace {

class Checked final : public TarSink {
 public:
  Result<void> begin(const std::string& name, std::uint64_t size) override {
    require(isBackupName(name), "a name that a backup may hold");
    require(name.find("..") == std::string::npos || name.find("/../") == std::string::npos,
            "no way up");
    require(left_ == 0, "the file before has ended");
    left_ = size;
    read += name;
    return {};
  }
  Result<void> bytes(std::string_view some) override {
    require(!some.empty() && some.size() <= left_, "no more bytes than were announced");
    left_ -= some.size();
    read += some;
    return {};
  }
  Result<void> end() override {
    require(left_ == 0, "all bytes that were announced");
    return {};
  }

  std::string read;

 private:
  std::uint64_t left_ = 0;
};

/// Whether it is whole; what was read is added to `read`.
bool readIn(std::string_view input, std::size_t part, std::string& read) {
  Checked files;
  BackupReader reader(files);
  bool fed = true;
  while (fed && !input.empty()) {
    fed = reader.feed(input.substr(0, part)).ok();
    input.remove_prefix(part < input.size() ? part : input.size());
  }
  read = files.read;
  return fed && reader.finish().ok();
}

}  // namespace

void backup_archive(std::string_view input) {
  std::string once;
  std::string again;
  const bool whole = readIn(input, input.size() + 1, once);
  require(readIn(input, 500, again) == whole && once == again, "read alike in parts");
}

}  // namespace egalaxyd::fuzz
