// The floors of uploads: files stored as egalaxyd must store them (a new file, fsync, rename, fsync
// of the folder) by threads that wait for the disk, as fast as they can; with --gemini on demand of
// Titan clients, one per thread, over TLS. No checks, no record, no log.
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bare.h"

namespace egalaxyd {
namespace {

constexpr int kNames = 1024;  // files, then they are replaced: as many as the load names
constexpr std::size_t kMaxBytes = 1024 * 1024;

struct Options {
  const char* folder = nullptr;
  int threads = 64;
  double seconds = 0;
  std::size_t bytes = 2048;
  int gemini = 0;
  const char* certificate = nullptr;
  const char* key = nullptr;
};

void store(int folder, const std::string& name, std::string_view bytes) {
  const std::string temporary = "." + name;
  const int fd = openat(folder, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) die("openat");
  if (write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) die("write");
  if (fsync(fd) != 0) die("fsync");
  close(fd);
  if (renameat(folder, temporary.c_str(), folder, name.c_str()) != 0) die("renameat");
  if (fsync(folder) != 0) die("fsync of the folder");
}

int openFolder(const Options& options) {
  const int folder = open(options.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) die(options.folder);
  return folder;
}

struct Upload {
  std::string name;  ///< the last segment of the URL
  std::string body;
};

/// Reads the request line and the body. An empty body: no such request.
Upload receive(SSL* ssl) {
  std::string got;
  std::size_t wanted = std::string::npos;
  std::size_t line = 0;
  while (wanted == std::string::npos || got.size() < line + wanted) {
    char chunk[16 * 1024];
    const int count = SSL_read(ssl, chunk, sizeof chunk);
    if (count <= 0) return {};
    got.append(chunk, static_cast<std::size_t>(count));
    if (wanted != std::string::npos) continue;
    const auto end = got.find("\r\n");
    if (end == std::string::npos) continue;
    const auto size = got.find(";size=");
    if (size > end) return {};
    line = end + 2;
    wanted = std::strtoull(got.c_str() + size + 6, nullptr, 10);
    if (wanted == 0 || wanted > kMaxBytes) return {};
  }
  const std::string url = got.substr(0, got.find(';'));
  return {url.substr(url.rfind('/') + 1), got.substr(line, wanted)};
}

void serveOne(SSL* ssl, int folder) {
  if (SSL_accept(ssl) != 1) return;
  const Upload upload = receive(ssl);
  if (upload.body.empty()) return;
  store(folder, upload.name, upload.body);
  const std::string answer = "30 gemini://localhost/" + upload.name + "\r\n";
  if (SSL_write(ssl, answer.data(), static_cast<int>(answer.size())) > 0) SSL_shutdown(ssl);
}

[[noreturn]] void serve(const Options& options) {
  SSL_CTX* context = makeContext(options.certificate, options.key);
  const int listener = openListener(options.gemini, 0);
  const auto work = [&] {
    const int folder = openFolder(options);
    for (;;) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) die("accept");
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      SSL* ssl = SSL_new(context);
      SSL_set_fd(ssl, fd);
      serveOne(ssl, folder);
      SSL_free(ssl);
      ERR_clear_error();
      close(fd);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < options.threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  std::abort();  // they never end
}

void loop(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const std::string body(options.bytes, 'x');
  std::atomic<std::uint64_t> stored = 0;
  const auto began = Clock::now();
  const auto until = began + std::chrono::duration<double>(options.seconds);
  std::vector<std::thread> threads;
  for (int i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      const int folder = openFolder(options);
      for (int number = 0; Clock::now() < until; ++number) {
        const int turn = number % std::max(1, kNames / options.threads);
        store(folder, std::to_string(i) + "-" + std::to_string(turn), body);
        ++stored;
      }
      close(folder);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = std::chrono::duration<double>(Clock::now() - began).count();
  std::printf("{\"stored\": %llu, \"per_second\": %.1f}\n",
              static_cast<unsigned long long>(stored.load()), static_cast<double>(stored) / took);
}

Options parseOptions(int argc, char** argv) {
  static const option kLong[] = {
      {"dir", required_argument, nullptr, 'd'},     {"threads", required_argument, nullptr, 't'},
      {"seconds", required_argument, nullptr, 's'}, {"bytes", required_argument, nullptr, 'b'},
      {"gemini", required_argument, nullptr, 'g'},  {"cert", required_argument, nullptr, 'c'},
      {"key", required_argument, nullptr, 'k'},     {nullptr, 0, nullptr, 0}};
  Options options;
  for (int c; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    switch (c) {
      case 'd':
        options.folder = optarg;
        break;
      case 't':
        options.threads = std::atoi(optarg);
        break;
      case 's':
        options.seconds = std::atof(optarg);
        break;
      case 'b':
        options.bytes = std::strtoull(optarg, nullptr, 10);
        break;
      case 'g':
        options.gemini = std::atoi(optarg);
        break;
      case 'c':
        options.certificate = optarg;
        break;
      case 'k':
        options.key = optarg;
        break;
      default:
        std::exit(64);
    }
  }
  const bool serves = options.gemini && options.certificate && options.key;
  if (!options.folder || options.threads < 1 || (!serves && !(options.seconds > 0))) {
    std::fputs(
        "egalaxyd_store_floor --dir DIR [--threads N] (--seconds S [--bytes N] |"
        " --gemini PORT --cert FILE --key FILE)\n",
        stderr);
    std::exit(64);
  }
  return options;
}

}  // namespace
}  // namespace egalaxyd

int main(int argc, char** argv) {
  using namespace egalaxyd;
  const Options options = parseOptions(argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  if (options.gemini) serve(options);
  loop(options);
}
