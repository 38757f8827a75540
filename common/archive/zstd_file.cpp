#include "common/archive/zstd_file.h"

#include <unistd.h>
#include <zstd.h>

#include <cerrno>

#include "common/base/errno_error.h"
#include "common/base/write_all.h"

namespace egalaxyd {
namespace {

/// A frame may ask for a window of that many bytes, as a power of two.
constexpr int kMostWindowLog = 23;

struct FreeZstd {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Error noMemory() { return {ErrorCode::kNoSpace, "no memory left"}; }

Error damaged(const char* what) {
  return {ErrorCode::kInvalid, std::string("it is no zstd archive, or damaged: ") + what};
}

}  // namespace

struct ZstdWriter::State {
  std::unique_ptr<ZSTD_CCtx, FreeZstd> context{ZSTD_createCCtx()};
  std::string buffer = std::string(ZSTD_CStreamOutSize(), '\0');
};

ZstdWriter::ZstdWriter(int fd) : fd_(fd), state_(std::make_unique<State>()) {
  if (state_->context) ZSTD_CCtx_setParameter(state_->context.get(), ZSTD_c_checksumFlag, 1);
}

ZstdWriter::~ZstdWriter() = default;

Result<void> ZstdWriter::write(std::string_view bytes) { return compress(bytes, false); }

Result<void> ZstdWriter::finish() { return compress({}, true); }

Result<void> ZstdWriter::compress(std::string_view bytes, bool last) {
  if (!state_->context) return noMemory();
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (std::size_t left = 1; in.pos < in.size || (last && left > 0);) {
    ZSTD_outBuffer out{state_->buffer.data(), state_->buffer.size(), 0};
    left =
        ZSTD_compressStream2(state_->context.get(), &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left) != 0) {
      return Error{ErrorCode::kIo, std::string("compress: ") + ZSTD_getErrorName(left)};
    }
    if (const int why = writeAll(fd_, std::string_view(state_->buffer).substr(0, out.pos));
        why != 0) {
      return errnoError("write", why);
    }
  }
  return {};
}

Result<void> readZstd(int fd, const std::function<Result<void>(std::string_view)>& take) {
  const std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  if (!context) return noMemory();
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMostWindowLog);
  std::string compressed(ZSTD_DStreamInSize(), '\0');
  std::string plain(ZSTD_DStreamOutSize(), '\0');
  std::size_t left = 1;  // 0: the frame has ended
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, compressed.data(), compressed.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("read", errno);
    if (got == 0) return left == 0 ? Result<void>() : damaged("it is cut off");
    at += got;
    ZSTD_inBuffer in{compressed.data(), static_cast<std::size_t>(got), 0};
    // A full buffer may mean that there is more to come out.
    for (bool more = true; in.pos < in.size || more;) {
      if (left == 0) {
        if (in.pos < in.size) return damaged("something follows its end");
        break;
      }
      ZSTD_outBuffer out{plain.data(), plain.size(), 0};
      left = ZSTD_decompressStream(context.get(), &out, &in);
      if (ZSTD_isError(left) != 0) return damaged(ZSTD_getErrorName(left));
      more = out.pos == out.size;
      if (out.pos == 0) continue;
      if (auto taken = take(std::string_view(plain).substr(0, out.pos)); !taken) return taken;
    }
  }
}

}  // namespace egalaxyd
