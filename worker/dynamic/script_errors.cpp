#include "worker/dynamic/script_errors.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

constexpr std::uint64_t kMostLogged = 8 * 1024;
constexpr std::size_t kLongestLine = 1024;

}  // namespace

void ScriptErrors::add(std::string_view bytes) {
  while (!bytes.empty()) {
    if (logged_ >= kMostLogged) {
      leftOut_ += bytes.size();
      return;
    }
    const std::size_t room = kLongestLine - line_.size();
    const std::size_t end = bytes.find('\n');
    const std::size_t taken = std::min({end, bytes.size(), room});
    line_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    const bool ends = !bytes.empty() && bytes.front() == '\n';
    if (ends) bytes.remove_prefix(1);
    if (ends || line_.size() == kLongestLine) log(std::exchange(line_, {}));
  }
}

void ScriptErrors::log(std::string_view line) {
  logged_ += line.size() + 1;
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!line.empty()) spdlog::info("{} says: \"{}\"", name_, logQuote(line));
}

void ScriptErrors::finish() {
  if (!line_.empty()) log(std::exchange(line_, {}));
  if (leftOut_ > 0) spdlog::info("{} says {} bytes more", name_, std::exchange(leftOut_, 0));
}

ScriptErrorPipe::ScriptErrorPipe(EventLoop& loop, UniqueFd pipe, std::string name)
    : errors_(std::move(name)), pipe_(std::move(pipe)), watch_(loop, [this](IoEvents) { read(); }) {
  // Without a watch, what it says is read at its end.
  static_cast<void>(watch_.start(pipe_.get(), WatchMode::kEdge));
}

ScriptErrorPipe::~ScriptErrorPipe() {
  read();
  errors_.finish();
}

void ScriptErrorPipe::read() {
  // The pipe holds 4 KiB; a script that fills it without end gets its turn again later.
  std::array<char, 4096> bytes;
  for (int turns = 0; turns < 16; ++turns) {
    const ssize_t got = ::read(pipe_.get(), bytes.data(), bytes.size());
    if (got <= 0) return;
    errors_.add({bytes.data(), static_cast<std::size_t>(got)});
  }
  watch_.stop();
  static_cast<void>(watch_.start(pipe_.get(), WatchMode::kEdge));
}

}  // namespace egalaxyd
