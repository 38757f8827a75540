#include "worker/upload/upload_failure.h"

#include "worker/site/answers.h"

namespace egalaxyd {

Response uploadFailure(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
      return Response::failure(Status::kNotFound, "There is no such place");
    case ErrorCode::kExists:
      return Response::failure(Status::kPermanentFailure, "What has this name is no file");
    case ErrorCode::kInvalid:
      return Response::failure(Status::kBadRequest, "This name cannot be used");
    case ErrorCode::kPermission:
      return Response::failure(Status::kPermanentFailure, "This cannot be written");
    case ErrorCode::kNoSpace:
      return Response::failure(Status::kTemporaryFailure, "There is no room for this now");
    case ErrorCode::kBusy:
    case ErrorCode::kAgain:
      return busyFailure();
    case ErrorCode::kUnknown:
      return mayBeStored();
    case ErrorCode::kIo:
      break;
  }
  return Response::failure(Status::kTemporaryFailure, "The upload failed, try again");
}

bool isOperatorsBusiness(const Error& error) {
  return error.code == ErrorCode::kPermission || error.code == ErrorCode::kNoSpace ||
         error.code == ErrorCode::kIo;
}

}  // namespace egalaxyd
