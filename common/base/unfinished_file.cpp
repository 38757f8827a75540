#include "common/base/unfinished_file.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/random_number.h"

namespace egalaxyd {
namespace {

/// Names for the handler of signals, which may neither allocate nor wait. More files than places
/// are removed by their destructors alone.
std::array<std::atomic<const char*>, 8> unfinishedNames{};
static_assert(std::atomic<const char*>::is_always_lock_free);

extern "C" void removeFilesAndEnd(int signal) {
  for (const auto& place : unfinishedNames) {
    if (const char* name = place.load()) ::unlink(name);
  }
  ::raise(signal);  // it waits until this returns, and has its default action then
}

}  // namespace

UnfinishedFile::UnfinishedFile(std::string name) : name_(std::move(name)) {
  for (auto& place : unfinishedNames) {
    const char* none = nullptr;
    if (place.compare_exchange_strong(none, name_.c_str())) return;
  }
}

UnfinishedFile::~UnfinishedFile() {
  if (!kept_) ::unlink(name_.c_str());
  keep();
}

void UnfinishedFile::keep() {
  kept_ = true;
  for (auto& place : unfinishedNames) {
    const char* mine = name_.c_str();
    place.compare_exchange_strong(mine, nullptr);
  }
}

Result<UniqueFd> UnfinishedFile::make() {
  UniqueFd fd(::open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd) return fd;
  const int why = errno;
  keep();
  const auto folder = std::filesystem::path(name_).parent_path();
  return errnoError("create a file in " + (folder.empty() ? "." : folder.string()), why);
}

std::string unfinishedName(const std::string& before) {
  return fmt::format("{}{:016x}", before, randomNumber());
}

std::string temporaryName(const std::string& program) {
  std::error_code unknown;  // then in /tmp
  auto folder = std::filesystem::temp_directory_path(unknown);
  if (unknown) folder = "/tmp";
  return unfinishedName((folder / (program + "-")).string());
}

void removeUnfinishedFilesAtSignals() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU, SIGXFSZ}) {
    struct sigaction before {};
    struct sigaction now {};
    now.sa_handler = &removeFilesAndEnd;
    now.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigemptyset(&now.sa_mask);
    const bool isKnown = ::sigaction(signal, nullptr, &before) == 0;
    if (isKnown && before.sa_handler == SIG_DFL) ::sigaction(signal, &now, nullptr);
  }
}

}  // namespace egalaxyd
