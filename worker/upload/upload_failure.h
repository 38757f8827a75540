// Answers to uploads that failed.
#pragma once

#include "common/base/result.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// The answer to an error of UploadFile, or of the storage.
Response uploadFailure(const Error& error);

/// Whether the log should tell the operator.
bool isOperatorsBusiness(const Error& error);

}  // namespace egalaxyd
