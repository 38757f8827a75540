#include "worker/upload/upload_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/sha256.h"
#include "common/tls/certificate_names.h"
#include "tests/support/signed_certificate.h"

namespace egalaxyd {
namespace {

Request upload(std::uint64_t size, std::string mime = "", std::string token = "") {
  Request request;
  request.protocol = Protocol::kTitan;
  request.upload = UploadLine{size, std::move(mime), std::move(token), false};
  return request;
}

Request edit() {
  Request request = upload(0);
  request.upload->edit = true;
  return request;
}

/// 0: it may go on.
int refusal(const UploadArgs& rules, const Request& request) {
  const auto refused = refuseUpload(rules, request);
  return refused ? static_cast<int>(refused->status) : 0;
}

UploadArgs forAnyone() {
  UploadArgs rules;
  rules.anyone = true;
  return rules;
}

TEST(UploadRules, AnyoneMayWriteWhereThatIsSaid) {
  EXPECT_EQ(refusal(forAnyone(), upload(3)), 0);
  EXPECT_EQ(refusal(forAnyone(), edit()), 0);
}

TEST(UploadRules, ProtocolsThatAreNotNamedMayNot) {
  Request request = upload(3);
  request.protocol = Protocol::kSpartan;
  UploadArgs rules = forAnyone();
  EXPECT_EQ(refusal(rules, request), 50);
  rules.over = {UploadProtocol::kSpartan};
  EXPECT_EQ(refusal(rules, request), 0);
  EXPECT_EQ(refusal(rules, upload(3)), 50);
}

TEST(UploadRules, WhoShowedNothingIsAskedForACertificateOnlyWhereThatWouldDo) {
  UploadArgs rules;
  rules.tokens = {{sha256Hex("first")}, {sha256Hex("second")}};
  EXPECT_EQ(refusal(rules, upload(3, "", "first")), 0);
  EXPECT_EQ(refusal(rules, upload(3, "", "second")), 0);
  EXPECT_EQ(refusal(rules, upload(3, "", "third")), 61);
  EXPECT_EQ(refusal(rules, upload(3)), 61);
  rules.fingerprints = {"*"};
  EXPECT_EQ(refusal(rules, upload(3)), 60);
  EXPECT_EQ(refusal(rules, upload(3, "", "third")), 61);
  EXPECT_EQ(refusal(rules, upload(3, "", "first")), 0);
}

TEST(UploadRules, ATokenMayHaveAName) {
  UploadArgs rules;
  rules.tokens = {{sha256Hex("first"), "ann"}, {sha256Hex("second"), ""}};
  EXPECT_EQ(tokenName(rules, "first"), "ann");
  EXPECT_EQ(tokenName(rules, "second"), "");
  EXPECT_EQ(tokenName(rules, "ann"), "");
  EXPECT_EQ(tokenName(rules, ""), "");
}

TEST(UploadRules, ARightIsGrantedByATokenOrAListedCertificateNotByWhatAnybodyHas) {
  const TestCertificate friendly = makeTestCertificate();
  const TestCertificate stranger = makeTestCertificate({.commonName = "Mallory"});
  const TestCertificate expired = makeTestCertificate({.fromDays = -9, .toDays = -1});
  const auto by = [](const TestCertificate* who, std::string token = "") {
    Request request = upload(3, "", std::move(token));
    if (who != nullptr) request.identity = identityOf(*who);
    return request;
  };
  UploadArgs rules;
  rules.tokens = {{sha256Hex("secret")}};
  rules.fingerprints = {certificateFingerprint(friendly.certificate.get()),
                        publicKeyFingerprint(expired.certificate.get())};
  EXPECT_EQ(uploadRight(rules, by(nullptr, "secret")), UploadRight::kGranted);
  EXPECT_EQ(uploadRight(rules, by(&friendly)), UploadRight::kGranted);
  EXPECT_EQ(uploadRight(rules, by(&friendly, "wrong")), UploadRight::kGranted);
  EXPECT_EQ(uploadRight(rules, by(&stranger)), UploadRight::kNone);
  EXPECT_EQ(uploadRight(rules, by(&expired)), UploadRight::kNone);
  EXPECT_EQ(uploadRight(rules, by(nullptr, "wrong")), UploadRight::kNone);
  EXPECT_EQ(uploadRight(rules, by(nullptr)), UploadRight::kNone);
  Request overSpartan = by(&friendly);
  overSpartan.protocol = Protocol::kSpartan;
  EXPECT_EQ(uploadRight(rules, overSpartan), UploadRight::kNone) << "not over this protocol";

  rules.fingerprints.emplace_back("*");
  EXPECT_EQ(uploadRight(rules, by(&friendly)), UploadRight::kGranted);
  EXPECT_EQ(uploadRight(rules, by(&stranger)), UploadRight::kOpen);
  EXPECT_EQ(uploadRight(rules, by(&expired)), UploadRight::kNone);
  rules.anyone = true;
  EXPECT_EQ(uploadRight(rules, by(&friendly)), UploadRight::kGranted);
  EXPECT_EQ(uploadRight(rules, by(&expired)), UploadRight::kOpen);
  EXPECT_EQ(uploadRight(rules, by(&stranger)), UploadRight::kOpen);
  EXPECT_EQ(uploadRight(rules, by(nullptr, "wrong")), UploadRight::kOpen);
}

TEST(UploadRules, AnEditShowsWhereTokensAreTakenWhatAPlainRequestWould) {
  UploadArgs rules;
  rules.tokens = {{sha256Hex("first")}};
  EXPECT_EQ(refusal(rules, edit()), 0);
  rules.fingerprints = {"*"};
  EXPECT_EQ(refusal(rules, edit()), 0);
  rules.tokens.clear();
  EXPECT_EQ(refusal(rules, edit()), 60);
}

TEST(UploadRules, EveryTypePassesWhereThatIsSaid) {
  UploadArgs rules = forAnyone();
  rules.mime = {"*/*"};
  EXPECT_EQ(refusal(rules, upload(3, "image/png")), 0);
  EXPECT_EQ(refusal(rules, upload(3, "nonsense")), 50);
}

TEST(UploadRules, ARefusalSaysWhatWouldPass) {
  UploadArgs rules = forAnyone();
  rules.mime = {"text/*", "image/png"};
  EXPECT_EQ(refuseUpload(rules, upload(3, "audio/ogg"))->meta,
            "This media type is not accepted here, but text/* or image/png would be");
}

TEST(UploadRules, ACertificateIsAskedForWhereOnlyThatCounts) {
  UploadArgs rules;
  rules.fingerprints = {"*"};
  EXPECT_EQ(refusal(rules, upload(3)), 60);
  EXPECT_EQ(refusal(rules, edit()), 60);
}

TEST(UploadRules, WhoMayNotWriteLearnsNothingOfTheOtherRules) {
  UploadArgs rules;
  rules.tokens = {{sha256Hex("first")}};
  EXPECT_EQ(refusal(rules, upload(0)), 61);
  EXPECT_EQ(refusal(rules, upload(3, "image/png")), 61);
  EXPECT_EQ(refusal(rules, upload(rules.maxSize + 1)), 61);
}

TEST(UploadRules, NothingIsDeletedUnlessThatIsAllowed) {
  UploadArgs rules = forAnyone();
  EXPECT_EQ(refusal(rules, upload(0)), 50);
  rules.mayDelete = true;
  EXPECT_EQ(refusal(rules, upload(0, "application/octet-stream")), 0);
}

TEST(UploadRules, TypesAreComparedWithoutCaseAndParameters) {
  UploadArgs rules = forAnyone();
  for (const char* mime :
       {"", "text/plain", "TEXT/Gemini", "text/gemini;charset=utf-8", "text/markdown ; x=y"}) {
    EXPECT_EQ(refusal(rules, upload(3, mime)), 0) << mime;
  }
  for (const char* mime :
       {"image/png", "text", "text/", "textual/plain", "application/text/plain", "text/pl ain"}) {
    EXPECT_EQ(refusal(rules, upload(3, mime)), 50) << mime;
  }
  rules.mime = {"text/gemini", "image/*"};
  EXPECT_EQ(refusal(rules, upload(3, "text/plain")), 0);
  EXPECT_EQ(refusal(rules, upload(3, "text/markdown")), 50);
  EXPECT_EQ(refusal(rules, upload(3, "image/png")), 0);
  rules.mime = {"image/png"};
  EXPECT_EQ(refusal(rules, upload(3, "text/plain")), 50);
}

TEST(UploadRules, TheLargestUploadIsOfMaxSize) {
  UploadArgs rules = forAnyone();
  rules.maxSize = 1000;
  EXPECT_EQ(refusal(rules, upload(1000)), 0);
  EXPECT_EQ(refusal(rules, upload(1001)), 50);
  EXPECT_EQ(refuseUpload(rules, upload(1001))->meta,
            "The upload is too large: at most 1000B are accepted here");
}

TEST(UploadRules, TheTypeThatIsRecordedIsTheDeclaredOne) {
  EXPECT_EQ(uploadType(upload(3)), "text/gemini");
  EXPECT_EQ(uploadType(upload(3, "Text/Plain;charset=utf-8")), "text/plain");
  EXPECT_EQ(uploadType(edit()), "");
}

Request uploadTo(const std::string& path) {
  Request request = upload(3);
  request.path = path;
  return request;
}

TEST(UploadRules, NoNameLies) {
  UploadArgs rules = forAnyone();
  rules.mayDelete = true;
  for (const char* path : {"/a\u202Eb", "/a\u200B/b", "/\uFEFFa", "/a\u00ADb", "/a\u2066b"}) {
    EXPECT_EQ(refusal(rules, uploadTo(path)), 59) << path;
    Request deletion = uploadTo(path);
    deletion.upload->size = 0;
    EXPECT_EQ(refusal(rules, deletion), 0) << "what is there can go: " << path;
  }
  EXPECT_EQ(refusal(rules, uploadTo("/caf\u00E9")), 0);
  Request elsewhere = uploadTo("/\u202Emount/a");
  elsewhere.mountLength = std::string("/\u202Emount").size();
  EXPECT_EQ(refusal(rules, elsewhere), 0) << "the mount is the operator's";
}

TEST(UploadRules, FoldersAreMadeNoDeeperThanAllowed) {
  UploadArgs rules = forAnyone();
  rules.depth = 2;
  EXPECT_EQ(refusal(rules, uploadTo("/a/b/c/d")), 0) << "none are made";
  rules.createDirectories = true;
  EXPECT_EQ(refusal(rules, uploadTo("/a")), 0);
  EXPECT_EQ(refusal(rules, uploadTo("/a/b/c")), 0);
  EXPECT_EQ(refusal(rules, uploadTo("/a/b/c/d")), 50);
  EXPECT_EQ(refuseUpload(rules, uploadTo("/a/b/c/d"))->meta, "This is too deep: at most 2 folders");
  Request mounted = uploadTo("/w/a/b/c");
  mounted.mountLength = 2;
  EXPECT_EQ(refusal(rules, mounted), 0);
}

TEST(UploadRules, AFileCountsItselfAndTheFoldersThatUploadsMayHaveMade) {
  UploadArgs rules = forAnyone();
  Request request = uploadTo("/w/a/b/c");
  request.mountLength = 2;
  EXPECT_EQ(uploadBlocks(rules, request), 1u);
  rules.createDirectories = true;
  EXPECT_EQ(uploadBlocks(rules, request), 3u);
  EXPECT_EQ(uploadBlocks(rules, uploadTo("/a")), 1u);
}

}  // namespace
}  // namespace egalaxyd
