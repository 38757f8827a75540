#include "master/control/version_query.h"

#include <Poco/Base64Encoder.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string>

#include "common/base/poco_seam.h"
#include "common/base/units.h"
#include "common/storage/storage.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;

/// By WhichContent.
constexpr std::array<std::string_view, 3> kWhich{"its", "before", "current"};

Result<std::string> base64(const std::string& bytes) {
  return guarded("base64", [&] {
    std::ostringstream text;
    Poco::Base64Encoder encoder(text);
    encoder.rdbuf()->setLineLength(0);
    encoder << bytes;
    encoder.close();
    return text.str();
  });
}

}  // namespace

Result<VersionQuery> readVersionQuery(const ControlRequest& request) {
  VersionQuery query;
  const auto id = parseNumber(request.argument("id"), 1, INT64_MAX);
  if (!id) {
    return Error{ErrorCode::kInvalid, "the upload's id is missing, as \"uploads\" lists them"};
  }
  query.upload = *id;
  if (const std::string which = request.argument("which"); !which.empty()) {
    const auto found = std::ranges::find(kWhich, which);
    if (found == kWhich.end()) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("\"{}\": its, before or current is wanted", which)};
    }
    query.which = static_cast<WhichContent>(found - kWhich.begin());
  }
  if (const std::string piece = request.argument("piece"); !piece.empty()) {
    const auto number = parseNumber(piece, 0, INT32_MAX);
    if (!number) return Error{ErrorCode::kInvalid, fmt::format("\"{}\" is no piece", piece)};
    query.piece = static_cast<std::uint64_t>(*number);
  }
  return query;
}

Object askContent(const VersionQuery& query, const Config& config,
                  const std::optional<Account>& account) {
  const auto piece = contentInChild(config, account, query.upload, query.which, query.piece);
  if (!piece) return controlFailure(piece.error().message);
  const auto text = base64(piece->bytes);
  if (!text) return controlFailure(text.error().message);
  Object answer = controlSuccess();
  answer.set("bytes", *text);
  answer.set("sha256", piece->sha256);
  answer.set("last", piece->bytes.size() < kContentPiece);
  return answer;
}

Object askRestore(const VersionQuery& query, const Config& config,
                  const std::optional<Account>& account, std::int64_t uploader) {
  const auto restored = restoreInChild(config, account, query.upload, uploader);
  if (!restored) return controlFailure(restored.error().message);
  Object answer = controlSuccess();
  answer.set("upload", *restored);
  return answer;
}

}  // namespace egalaxyd
