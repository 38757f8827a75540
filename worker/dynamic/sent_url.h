// The URL of a request without what Titan writes into it. Pure.
#pragma once

#include <algorithm>
#include <string>

#include "worker/site/request.h"

namespace egalaxyd {

/// Request::url without Titan's parameters; its query is kept.
inline std::string sentUrl(const Request& request) {
  const std::string& url = request.url;
  if (request.protocol != Protocol::kTitan || !request.upload) return url;
  const UploadLine& upload = *request.upload;
  const std::string parameters = upload.edit ? ";edit" : ";size=" + std::to_string(upload.size);
  const std::size_t mark = std::min(url.find('?'), url.size());
  std::string before = url.substr(0, mark);
  if (before.ends_with(parameters)) before.resize(before.size() - parameters.size());
  return before + url.substr(mark);
}

}  // namespace egalaxyd
