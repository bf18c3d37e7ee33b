// SPDX-License-Identifier: BSL-1.0
// mailfsctl import: messages from a Maildir or from mbox files.
#include "commands.hpp"
#include "files.hpp"
#include "mail/importer.hpp"
#include "mail/maildir_folder.hpp"
#include "mail/mbox.hpp"
#include "progress.hpp"
#include "storage.hpp"
#include "text.hpp"

#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/store/mailbox_name.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <system_error>

namespace mailfsctl {
namespace {

std::size_t const message_size_max = mailfs::dbox_options{}.message_size_max;

/// A folder or a file, and the mailbox that its messages go to.
struct part {
    std::string path, mailbox;
};

class import_run {
public:
    explicit import_run(import_options const& o)
        : options_(o),
          storage_(open_storage(o.where, true)),
          account_(storage_->account(o.account)),
          bar_("import", 0, "messages", o.quiet) {
        for (auto const& box : account_->list())
            if (box.selectable) known_.insert(box.name);
    }

    int run() {
        if (kind() == "maildir")
            import_maildir();
        else
            import_mboxes();
        bar_.clear();
        if (!options_.quiet) report();
        return left_out_ > 0 ? status_found : status_fine;
    }

private:
    std::string kind() const {
        auto const found = kind_of(options_.source);
        if (found == entry_kind::none) throw cannot_run(options_.source + ": there is no such file or directory");
        if (options_.kind != "auto") return options_.kind;
        return is_maildir(options_.source) ? "maildir" : "mbox";
    }

    void complain(std::string const& what) {
        bar_.clear();
        std::fflush(stdout);
        fmt::print(stderr, "mailfsctl: {}\n", what);
    }
    void leave_out(std::string const& what) {
        ++left_out_;
        complain(what + ": left out");
    }

    std::unique_ptr<mailbox_access> open(std::string const& name) {
        auto const canonical = mailfs::canonical_mailbox_name(name);
        if (!canonical)
            throw cannot_run('"' + printable(name) + "\" cannot be the name of a mailbox: give one with --mailbox");
        if (known_.insert(*canonical).second) {
            try {
                account_->create(*canonical);
            } catch (mailfs::error const& e) {
                if (e.code() != mailfs::errc::exists) throw;
            }
        }
        boxes_.insert(*canonical);
        return account_->open(*canonical);
    }

    void take(importer& to, found_message&& message) {
        if (message.bytes.size() > message_size_max) return leave_out(message.place + " is longer than a message may be");
        auto& words = message.marks.keywords;
        auto const fits = [](std::string const& word) {
            return !word.empty() && word.size() <= mailfs::format::keyword_size_max;
        };
        auto const kept = std::stable_partition(words.begin(), words.end(), fits);
        if (kept != words.end()) complain(message.place + ": a keyword of more than 255 bytes is left out");
        words.erase(kept, words.end());
        if (words.size() > mailfs::keywords_per_change_max) words.resize(mailfs::keywords_per_change_max);
        if (!to.take(std::move(message))) ++there_already_;
    }
    void close(importer& to) {
        to.finish();
        imported_ += to.imported();
    }

    /// One part after the other; what is wrong with one stops no other.
    template <class Import>
    void each(std::vector<part> const& parts, Import const& import_one) {
        for (auto const& p : parts) {
            try {
                import_one(p);
            } catch (cannot_run const& e) {
                leave_out(e.what());
            } catch (mailfs::error const&) {
                throw;
            } catch (std::system_error const& e) {
                leave_out(e.what());
            }
        }
    }

    // --- Maildir ---

    void import_maildir() {
        std::vector<part> parts;
        if (!options_.mailbox.empty())
            parts.push_back({options_.source, options_.mailbox});
        else
            for (auto const& folder : find_folders(options_.source)) parts.push_back({folder.path, folder.mailbox});
        if (parts.empty())
            throw cannot_run(options_.source + " is no Maildir: it has neither cur nor new, nor folders that have");
        std::uint64_t total = 0;
        std::vector<std::unique_ptr<maildir_source>> sources;
        for (auto const& p : parts) {
            sources.push_back(std::make_unique<maildir_source>(p.path));
            bar_.total(total += sources.back()->count());
        }
        auto next = sources.begin();
        each(parts, [&](part const& p) { import_folder(p, **next++); });
        if (options_.mailbox.empty()) subscribe();
    }
    void import_folder(part const& p, maildir_source& from) {
        auto const mailbox = open(p.mailbox);
        bar_.what("import " + p.mailbox);
        importer to(*mailbox, options_.ends);
        for (std::size_t i = 0; i < from.count(); ++i, bar_.advance()) {
            try {
                if (auto message = from.read(i, message_size_max)) take(to, std::move(*message));
            } catch (cannot_run const& e) {
                leave_out(e.what());
            }
        }
        close(to);
    }
    void subscribe() {
        for (auto const* name : {"subscriptions", "courierimapsubscribed"}) {
            auto const file = read_whole(options_.source + '/' + name, std::size_t{16} << 20);
            if (!file) continue;
            for (auto const& mailbox : parse_subscriptions(file->bytes, *name == 'c'))
                if (mailfs::is_mailbox_name(mailbox)) account_->subscribe(mailbox);
        }
    }

    // --- mbox ---

    void import_mboxes() {
        std::vector<part> parts;
        auto const into = [&](std::string const& name) { return options_.mailbox.empty() ? name : options_.mailbox; };
        if (kind_of(options_.source) == entry_kind::directory)
            find_mboxes("", parts, 0);
        else
            parts.push_back({options_.source, into(std::string(mailfs::inbox_name))});
        if (parts.empty()) throw cannot_run(options_.source + " holds neither a Maildir nor mbox files");
        each(parts, [&](part const& p) { import_mbox(p); });
    }
    void find_mboxes(std::string const& below, std::vector<part>& out, int depth) {
        for (auto const& e : list_directory(below.empty() ? options_.source : options_.source + '/' + below)) {
            if (e.name.starts_with('.')) continue;
            auto const path = below.empty() ? e.name : below + '/' + e.name;
            auto const full = options_.source + '/' + path;
            auto const mailbox = options_.mailbox.empty() ? mailbox_of_mbox_path(path) : options_.mailbox;
            if (e.is_directory && depth < 64)
                find_mboxes(path, out, depth + 1);
            else if (!e.is_directory && begins_as_mbox(full))
                out.push_back({full, mailbox});
        }
    }
    /// Also an empty file with the name of one.
    static bool begins_as_mbox(std::string const& path) {
        std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.c_str(), "rb"), std::fclose);
        if (!file) throw std::system_error(errno, std::generic_category(), path);
        std::array<char, 5> begin{};
        auto const size = std::fread(begin.data(), 1, begin.size(), file.get());
        return std::string_view(begin.data(), size) == "From " || (size == 0 && path.ends_with(".mbox"));
    }

    void import_mbox(part const& p) {
        std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(p.path.c_str(), "rb"), std::fclose);
        if (!file) throw std::system_error(errno, std::generic_category(), p.path);
        auto const mailbox = open(p.mailbox);
        std::fseek(file.get(), 0, SEEK_END);
        auto const size = std::ftell(file.get());
        std::rewind(file.get());
        bar_.begin("import " + p.mailbox, size > 0 ? static_cast<std::uint64_t>(size) : 0, "B");
        mbox_parser parser(quoting(), message_size_max);
        importer to(*mailbox, options_.ends);
        auto const put = [&](std::optional<found_message>&& message) {
            if (!message) return;
            message->place = p.path + ", " + message->place;
            take(to, std::move(*message));
        };
        for_each_piece(file.get(), p.path, [&](std::string_view line) {
            put(parser.line(line));
            bar_.advance(line.size());
        });
        put(parser.end());
        close(to);
        if (parser.strange_bytes() > 0)
            leave_out(fmt::format("{}: {} before the first message", p.path, counted(parser.strange_bytes(), "byte")));
        if (parser.too_long() > 0)
            leave_out(fmt::format("{}: {} longer than a message may be", p.path, counted(parser.too_long(), "message")));
        if (parser.cut() > 0)
            complain(fmt::format("{}: {} shorter than when written: the file was cut or changed", p.path,
                                 counted(parser.cut(), "message")));
        left_out_ += parser.cut();
    }
    from_quoting quoting() const {
        return options_.quoting == "mboxo"  ? from_quoting::mboxo
               : options_.quoting == "none" ? from_quoting::none
                                            : from_quoting::mboxrd;
    }
    /// Lines; those that are longer than the buffer in pieces.
    template <class Take>
    static void for_each_piece(std::FILE* file, std::string const& path, Take const& take) {
        constexpr std::size_t buffer_size = std::size_t{1} << 20;
        std::string buffer(buffer_size, '\0');
        std::size_t held = 0;
        for (;;) {
            auto const got = std::fread(buffer.data() + held, 1, buffer_size - held, file);
            if (got == 0 && std::ferror(file) != 0) throw std::system_error(EIO, std::generic_category(), path);
            held += got;
            std::string_view rest(buffer.data(), held);
            for (auto end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
                take(rest.substr(0, end + 1));
                rest.remove_prefix(end + 1);
            }
            bool const full = rest.size() == buffer_size;
            if (!rest.empty() && (full || got == 0)) {
                take(rest);
                rest = {};
            }
            if (got == 0) return;
            held = rest.size();
            if (held > 0) std::memmove(buffer.data(), rest.data(), held);
        }
    }

    void report() const {
        fmt::print("imported {} into {}", counted(imported_, "message"),
                   boxes_.size() == 1 ? *boxes_.begin() : counted(boxes_.size(), "mailbox"));
        if (there_already_ > 0) fmt::print("; {} there already", grouped(there_already_));
        if (left_out_ > 0) fmt::print("; {} left out, see above", grouped(left_out_));
        fmt::print("\n");
    }

    import_options const& options_;
    std::unique_ptr<storage> storage_;
    std::unique_ptr<account_access> account_;
    progress bar_;
    std::set<std::string> known_, boxes_;
    std::uint64_t imported_ = 0, there_already_ = 0, left_out_ = 0;
};

}  // namespace

int import_mail(import_options const& o) { return import_run(o).run(); }

}  // namespace mailfsctl
