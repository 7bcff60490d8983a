// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <optional>
#include <system_error>
#include <utility>

#include "store/set_aside.h"

namespace inferscope::store {
namespace {

namespace fs = std::filesystem;
constexpr const char* file_name = "inferscope.db";
constexpr int schema_version = 1;
constexpr int busy_milliseconds = 1000;
constexpr std::uint64_t trim_each = 256;

constexpr const char* schema = R"(
  CREATE TABLE records (
    event TEXT NOT NULL, id TEXT NOT NULL, finding TEXT NOT NULL, time INTEGER NOT NULL, open INTEGER NOT NULL,
    json TEXT NOT NULL, PRIMARY KEY (event, id)) WITHOUT ROWID;
  CREATE INDEX records_by_time ON records (event, time);
  PRAGMA user_version = 1;
)";

struct DatabaseDeleter {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, DatabaseDeleter>;
struct StatementDeleter {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementDeleter>;

void bind_text(sqlite3_stmt* statement, int index, const std::string& text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

bool damaged(int code) {
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

/// `%`, `_` and the escape itself are meant literally.
std::string like_prefix(const std::string& prefix) {
  std::string pattern;
  for (const char c : prefix) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + '%';
}

}  // namespace

struct Store::Impl {
  Options options{};
  Database database{};
  std::vector<std::string> warnings{};
  std::uint64_t failures = 0;
  std::uint64_t writes = 0;

  [[nodiscard]] Error problem(const char* what) const {
    return Error{fmt::format("{}: {}", what, sqlite3_errmsg(database.get())),
                 fmt::format("is there room and permission to write in {}?", options.folder.string())};
  }

  int execute(const char* sql) const { return sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr); }

  [[nodiscard]] Statement prepare(const char* sql) const {
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(database.get(), sql, -1, &statement, nullptr);
    return Statement(statement);
  }

  /// SQLITE_OK, or why it cannot be used.
  int open_file(const fs::path& path) {
    sqlite3* opened = nullptr;
    int code = sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    database.reset(opened);
    if (code != SQLITE_OK) return code;
    chmod(path.c_str(), 0600);
    sqlite3_busy_timeout(opened, busy_milliseconds);
    // A crash of the host may cost the newest rows, never the database; what must not be lost is in journal and audit.
    code = execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    if (code != SQLITE_OK) return code;
    const Statement version = prepare("PRAGMA user_version");
    if (!version || sqlite3_step(version.get()) != SQLITE_ROW) return sqlite3_errcode(opened);
    const int found = sqlite3_column_int(version.get(), 0);
    if (found == 0) return execute(schema);
    if (found != schema_version) return SQLITE_NOTADB;
    const Statement check = prepare("PRAGMA quick_check(1)");
    if (!check || sqlite3_step(check.get()) != SQLITE_ROW) return SQLITE_CORRUPT;
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(check.get(), 0));
    return text && std::string_view(text) == "ok" ? SQLITE_OK : SQLITE_CORRUPT;
  }

  Status open() {
    std::error_code error;
    fs::create_directories(options.folder, error);
    if (error)
      return Error{fmt::format("cannot make the folder {}: {}", options.folder.string(), error.message()),
                   "set state.folder to one that can be written", Error::Kind::usage};
    const fs::path path = options.folder / file_name;
    int code = open_file(path);
    if (damaged(code)) {
      database.reset();
      auto aside = set_aside(path);
      if (!aside) return aside.error();
      for (const char* suffix : {"-wal", "-shm"}) fs::remove(path.string() + suffix, error);
      warnings.push_back(fmt::format("the database was damaged or of another version and is set aside as {}", *aside));
      code = open_file(path);
    }
    if (code != SQLITE_OK) return problem("the database cannot be opened");
    return success();
  }

  /// Only now and then, since it reads the index.
  void trim(const std::string& event) {
    if (++writes % trim_each != 0) return;
    const Statement statement = prepare(
        "DELETE FROM records WHERE event = ?1 AND open = 0 AND time < "
        "(SELECT time FROM records WHERE event = ?1 ORDER BY time DESC LIMIT 1 OFFSET ?2)");
    if (!statement) return;
    bind_text(statement.get(), 1, event);
    sqlite3_bind_int64(statement.get(), 2, static_cast<sqlite3_int64>(options.rows_kept));
    sqlite3_step(statement.get());
  }
};

Result<std::unique_ptr<Store>> Store::open(const Options& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  if (auto status = impl->open(); !status) return status.error();
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

const std::vector<std::string>& Store::warnings() const {
  return impl_->warnings;
}
std::uint64_t Store::failures() const {
  return impl_->failures;
}

Status Store::put(const Record& record) {
  const Statement statement = impl_->prepare("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
  if (statement) {
    const std::string event(record.event);
    bind_text(statement.get(), 1, event);
    bind_text(statement.get(), 2, record.id);
    bind_text(statement.get(), 3, record.finding);
    sqlite3_bind_int64(statement.get(), 4, record.unix_ns);
    sqlite3_bind_int(statement.get(), 5, record.open ? 1 : 0);
    bind_text(statement.get(), 6, to_json(record));
    if (sqlite3_step(statement.get()) == SQLITE_DONE) {
      impl_->trim(event);
      return success();
    }
  }
  ++impl_->failures;
  return impl_->problem("a record cannot be stored");
}

Result<std::vector<std::string>> Store::find(const Query& query) const {
  const Statement statement = impl_->prepare(
      "SELECT json FROM records WHERE (?1 = '' OR event = ?1) AND id LIKE ?2 ESCAPE '\\' AND (?3 = '' OR finding = ?3) "
      "AND open >= ?4 ORDER BY time DESC, id DESC LIMIT ?5");
  if (!statement) return impl_->problem("the store cannot be read");
  bind_text(statement.get(), 1, query.event);
  bind_text(statement.get(), 2, like_prefix(query.id));
  bind_text(statement.get(), 3, query.finding);
  sqlite3_bind_int(statement.get(), 4, query.open_only ? 1 : 0);
  sqlite3_bind_int64(statement.get(), 5, static_cast<sqlite3_int64>(query.last));
  std::vector<std::string> lines;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
    lines.emplace_back(text, static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), 0)));
  }
  if (code != SQLITE_DONE) return impl_->problem("the store cannot be read");
  return std::vector<std::string>(lines.rbegin(), lines.rend());
}

Status Store::close_left_open() {
  const int code = impl_->execute(
      R"(UPDATE records SET open = 0, json = json_set(json, '$."inferscope.finding.state"', 'lost sight of')
         WHERE open = 1 AND event = 'inferscope.finding')");
  return code == SQLITE_OK ? success() : impl_->problem("the store cannot be written");
}

}  // namespace inferscope::store
