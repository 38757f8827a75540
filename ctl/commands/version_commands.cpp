#include "ctl/commands/version_commands.h"

#include <Poco/Base64Decoder.h>
#include <spdlog/fmt/fmt.h>
#include <sys/wait.h>

#include <fstream>
#include <iterator>
#include <ostream>
#include <sstream>

#include "common/base/poco_seam.h"
#include "common/base/sha256.h"
#include "common/base/unfinished_file.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/control/control_client.h"
#include "ctl/control/server_program.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Object;

/// What diff(1) says where the files differ.
constexpr int kDiffer = 1;

Result<std::string> decoded(const std::string& base64) {
  return guarded("the server's answer", [&] {
    std::istringstream text(base64);
    Poco::Base64Decoder decoder(text);
    return std::string(std::istreambuf_iterator<char>(decoder), {});
  });
}

struct Piece {
  std::string bytes;
  std::string sha256;
  bool last = false;
};

Result<Piece> fetchPiece(const Invocation& invocation, const ControlRequest& request) {
  const auto answer = askServer(invocation, request);
  if (!answer) return answer.error();
  if (!(*answer)->optValue("ok", false)) {
    return Error{ErrorCode::kNotFound,
                 (*answer)->optValue<std::string>("error", "no reason given")};
  }
  auto bytes = decoded((*answer)->optValue<std::string>("bytes", ""));
  if (!bytes) return bytes.error();
  return Piece{std::move(*bytes), (*answer)->optValue<std::string>("sha256", ""),
               (*answer)->optValue("last", true)};
}

void printRestored(const Invocation& invocation, const Object& answer) {
  invocation.out << fmt::format("restored, as upload {}\n", cellOf(answer, "upload"));
}

/// A content in a file of its own, for diff(1), until it goes.
class ContentFile {
 public:
  Result<void> fetch(const Invocation& invocation, const std::string& upload,
                     const std::string& which) {
    if (const auto made = file_.make(); !made) return made.error();  // nobody else may read it
    std::ofstream out(path(), std::ios::binary);
    auto fetched = fetchContent(invocation, upload, which, out);
    out.close();
    if (fetched && !out) return Error{ErrorCode::kNoSpace, "cannot write " + path()};
    return fetched;
  }
  const std::string& path() const { return file_.name(); }

 private:
  UnfinishedFile file_{temporaryName("egalaxyctl")};
};

}  // namespace

Result<void> fetchContent(const Invocation& invocation, const std::string& upload,
                          const std::string& which, std::ostream& out) {
  Sha256 sum;
  for (std::uint64_t number = 0;; ++number) {
    const ControlRequest request(
        ControlCommand::kContent,
        {{"id", upload}, {"which", which}, {"piece", std::to_string(number)}});
    const auto piece = fetchPiece(invocation, request);
    if (!piece) return piece.error();
    sum.add(piece->bytes);
    out << piece->bytes;
    if (!piece->last) continue;
    if (piece->sha256.empty() || sum.hex() == piece->sha256) return {};
    return Error{ErrorCode::kIo,
                 "the content changed while it was read, or the database is damaged: try again"};
  }
}

int restoreUpload(const Invocation& invocation) {
  return askAndPrint(invocation, {ControlCommand::kRestore, {{"id", invocation.arguments.front()}}},
                     &printRestored);
}

int diffUpload(const Invocation& invocation) {
  const std::string& upload = invocation.arguments.front();
  const bool current = invocation.has("current");
  const std::pair<std::string, std::string> sides[] = {
      {current ? "its" : "before", current ? "upload " + upload : "before upload " + upload},
      {current ? "current" : "its", current ? "now" : "upload " + upload}};
  ContentFile files[2];
  for (std::size_t i = 0; i < 2; ++i) {
    const auto fetched = files[i].fetch(invocation, upload, sides[i].first);
    if (!fetched) return complain(invocation, fetched.error());
  }
  invocation.out.flush();
  const auto status = runProgram({"diff", "-u", "--label", sides[0].second, "--label",
                                  sides[1].second, "--", files[0].path(), files[1].path()});
  if (!status) return complain(invocation, status.error());
  if (!WIFEXITED(*status)) return kExitSoftware;
  if (WEXITSTATUS(*status) == 0) invocation.out << "no difference\n";
  return WEXITSTATUS(*status) > kDiffer ? kExitIo : WEXITSTATUS(*status);
}

}  // namespace egalaxyd::ctl
