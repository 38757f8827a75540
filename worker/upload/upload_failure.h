// What a client hears of an upload that failed.
#pragma once

#include "common/base/result.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// By UploadFile's errors, and the storage's.
Response uploadFailure(const Error& error);

/// Whether the operator should hear of it.
bool isOperatorsBusiness(const Error& error);

}  // namespace egalaxyd
