// egalaxyctl backup: all that a server keeps, in one file.
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <ostream>
#include <string>
#include <utility>

#include "common/archive/backup_archive.h"
#include "common/archive/zstd_file.h"
#include "common/base/errno_error.h"
#include "common/base/unfinished_file.h"
#include "common/base/unique_fd.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;
using Poco::JSON::Object;

/// Beside `file`, of which it takes the place once it is whole; else it goes.
class NewFile {
 public:
  explicit NewFile(fs::path file)
      : file_(std::move(file)), part_(unfinishedName(file_.string() + ".part-")) {}

  Result<void> make() {
    auto made = part_.make();
    if (!made) return made.error();
    fd_ = std::move(*made);
    return {};
  }
  int fd() const { return fd_.get(); }
  /// From then on reading it means reading the disk.
  Result<void> sync() const {
    if (::fsync(fd()) != 0) return errnoError("sync " + part_.name(), errno);
    ::posix_fadvise(fd(), 0, 0, POSIX_FADV_DONTNEED);
    return {};
  }
  Result<void> takePlace() {
    if (::rename(part_.name().c_str(), file_.c_str()) != 0) {
      return errnoError("rename " + part_.name() + " to " + file_.string(), errno);
    }
    part_.keep();
    const fs::path folder = file_.has_parent_path() ? file_.parent_path() : ".";
    const UniqueFd opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::fsync(opened.get()) != 0) return errnoError("sync " + folder.string(), errno);
    return {};
  }

 private:
  fs::path file_;
  UnfinishedFile part_;
  UniqueFd fd_;
};

/// Of an archive that is only checked.
class Counted final : public TarSink {
 public:
  Result<void> begin(const std::string& name, std::uint64_t) override {
    if (name.starts_with(kBackupCertificates)) ++certificateFiles;
    if (name.starts_with(kBackupConfiguration)) ++configurationFiles;
    return {};
  }
  Result<void> bytes(std::string_view) override { return {}; }
  Result<void> end() override { return {}; }

  std::uint64_t certificateFiles = 0;
  std::uint64_t configurationFiles = 0;
};

Error about(const fs::path& file, const Error& error) {
  return {error.code, file.string() + ": " + error.message};
}

/// What the server sends, compressed into `fd`. The server's answer; {"ok":true} says that all has
/// been written, and is whole.
Result<Object::Ptr> writeArchive(const Invocation& invocation, const fs::path& file, int fd,
                                 BackupReader& reader) {
  ZstdWriter writer(fd);
  auto answer = askServer(invocation, ControlCommand::kBackup, [&](std::string_view bytes) {
    const auto read = reader.feed(bytes);
    if (!read)
      return Result<void>(Error{ErrorCode::kIo, "the server sent: " + read.error().message});
    const auto written = writer.write(bytes);
    return written ? written : Result<void>(about(file, written.error()));
  });
  if (!answer || !(*answer)->optValue("ok", false)) return answer;
  if (const auto whole = reader.finish(); !whole) {
    return Error{ErrorCode::kIo, "the server sent: " + whole.error().message};
  }
  if (const auto finished = writer.finish(); !finished) return about(file, finished.error());
  return answer;
}

/// Reads back what was written: every file's sum is what it was when the server sent it.
Result<void> check(int fd, const std::string& sums) {
  Counted counted;
  BackupReader reader(counted);
  if (const auto read = readBackup(fd, reader); !read) return read;
  if (reader.sums() == sums) return {};
  return Error{ErrorCode::kIo, "it does not hold what was written to it"};
}

void printMade(const Invocation& invocation, const Object& answer) {
  invocation.out << fmt::format(
      "{}: {} bytes, checked; the database ({} bytes), {} files of certificates, {} of the "
      "configuration\n",
      cellOf(answer, "file"), cellOf(answer, "bytes"), cellOf(answer, "database_bytes"),
      cellOf(answer, "certificate_files"), cellOf(answer, "configuration_files"));
}

/// The answer with what was made, or as it is where the server refused.
Result<Object::Ptr> makeBackup(const Invocation& invocation, const fs::path& file) {
  NewFile made(file);
  if (const auto there = made.make(); !there)
    return Error{ErrorCode::kExists, there.error().message};
  Counted counted;
  BackupReader reader(counted);
  auto answer = writeArchive(invocation, file, made.fd(), reader);
  if (!answer || !(*answer)->optValue("ok", false)) return answer;
  if (const auto synced = made.sync(); !synced) return synced.error();
  if (const auto checked = check(made.fd(), reader.sums()); !checked) {
    return Error{ErrorCode::kIo,
                 file.string() +
                     ": what was written cannot be read back, so it was removed; the "
                     "disk may be failing: " +
                     checked.error().message};
  }
  struct stat info {};
  if (::fstat(made.fd(), &info) != 0) return errnoError("look at " + file.string(), errno);
  if (const auto placed = made.takePlace(); !placed) return placed.error();
  (*answer)->set("file", file.string());
  (*answer)->set("bytes", static_cast<std::int64_t>(info.st_size));
  (*answer)->set("database_bytes", reader.databaseSize());
  (*answer)->set("certificate_files", counted.certificateFiles);
  (*answer)->set("configuration_files", counted.configurationFiles);
  return answer;
}

}  // namespace

int backUp(const Invocation& invocation) {
  const std::string& file = invocation.arguments.front();
  const auto running = controlSocketPath(invocation);
  auto answer = running ? makeBackup(invocation, file) : Result<Object::Ptr>(running.error());
  if (!answer && answer.error().code == ErrorCode::kNotFound) {
    answer = Error{ErrorCode::kNotFound,
                   answer.error().message +
                       ". A running server is backed up; of one that is stopped, copy the whole "
                       "state folder (cp -a) and the configuration"};
  }
  return printAnswer(invocation, answer, &printMade);
}

}  // namespace egalaxyd::ctl
