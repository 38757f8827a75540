#include "guestbook.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace guestbook {

using egalaxyd::Error;
using egalaxyd::ErrorCode;
using egalaxyd::Request;
using egalaxyd::Responder;
using egalaxyd::Response;
using egalaxyd::Result;
using egalaxyd::Status;
using egalaxyd::Task;
using egalaxyd::Users;

namespace {

/// Each entry is a value of its own in its author's metadata, so entries that are signed at the
/// same time, even in different workers, never overwrite one another.
constexpr const char* kPrefix = "guestbook/";

/// Keys sort by time; the random part tells entries of the same microsecond apart.
std::string newKey() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::random_device random;
  char text[64];
  std::snprintf(
      text, sizeof text, "%s%020lld-%08x%08x", kPrefix,
      static_cast<long long>(std::chrono::duration_cast<std::chrono::microseconds>(now).count()),
      random(), random());
  return text;
}

/// The decoded query as one trimmed line; nullopt if it is not text.
std::optional<std::string> lineOf(const std::string& query) {
  auto text = egalaxyd::percentDecode(query);
  if (!text) return std::nullopt;
  for (char& c : *text) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  if (!egalaxyd::isPrintable(*text)) return std::nullopt;
  const auto first = text->find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text->substr(first, text->find_last_not_of(' ') - first + 1);
}

std::string dayOf(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

std::string pageOf(const std::string& title, const Request& request,
                   const std::vector<Users::Entry>& entries) {
  std::string page = "# " + title + "\n\n";
  page += "=> " + egalaxyd::percentEncodePath(request.path) + "? Leave a line\n";
  for (const Users::Entry& entry : entries) {
    // Quoted, so that no visitor's line becomes a heading or a link.
    page +=
        "\n" + dayOf(entry.updated) + ", " + entry.user.substr(0, 8) + ":\n> " + entry.value + "\n";
  }
  if (entries.empty()) page += "\nNobody has been here yet.\n";
  return page;
}

}  // namespace

Result<void> Guestbook::configure(const egalaxyd::PluginArguments& arguments) {
  for (const auto& [key, value] : arguments) {
    if (key == "title") {
      title_ = value;
    } else if (key == "show") {
      const char* end = value.data() + value.size();
      const auto [last, error] = std::from_chars(value.data(), end, show_);
      if (error != std::errc() || last != end || show_ == 0) {
        return Error{ErrorCode::kInvalid,
                     "args: show = \"" + value + "\": give the number of entries, e.g. \"100\""};
      }
    } else {
      return Error{ErrorCode::kInvalid,
                   "args: \"" + key + "\" is not known; there are \"title\" and \"show\""};
    }
  }
  return {};
}

void Guestbook::handle(Request request, Responder reply, egalaxyd::Services& services) {
  if (request.sitePath() != "" && request.sitePath() != "/") {
    return std::move(reply).send(Response::notFound());
  }
  // Once the request is cancelled, each co_await gives an error.
  auto cancellation = request.cancellation;
  auto task = request.query ? sign(std::move(request), std::move(reply))
                            : list(std::move(request), std::move(reply));
  services.tasks.start(std::move(task), std::move(cancellation));
}

Task<void> Guestbook::list(Request request, Responder reply) const {
  auto entries = co_await request.users->findAll(kPrefix, show_);
  if (!entries) {
    co_return std::move(reply).send(
        Response::failure(Status::kTemporaryFailure, "The book cannot be read now"));
  }
  // findAll() sorts by the storage's time stamps, which are seconds; the keys hold microseconds.
  std::ranges::sort(*entries, std::greater(), &Users::Entry::key);
  std::move(reply).send(Response::gemtext(pageOf(title_, request, *entries)));
}

Task<void> Guestbook::sign(Request request, Responder reply) {
  const auto user = request.user();
  if (!user) {
    co_return std::move(reply).send(Response::failure(
        Status::kCertificateRequired, "Sign with a certificate, so that your line stays yours"));
  }
  const auto line = lineOf(*request.query);
  if (!line) {
    co_return std::move(reply).send(Response::failure(Status::kBadRequest, "This is no text"));
  }
  if (line->empty()) {
    co_return std::move(reply).send(
        Response::failure(Status::kInput, "Your line for the guestbook"));
  }
  const auto written = co_await user->write(newKey(), *line);
  if (!written) {
    co_return std::move(reply).send(
        Response::failure(Status::kTemporaryFailure, "The book cannot be written now"));
  }
  // The line is durable from here on: it survives a power cut.
  std::move(reply).send(Response::redirect(egalaxyd::percentEncodePath(request.path), false));
}

}  // namespace guestbook
