// SPDX-License-Identifier: BSL-1.0
// Where the bodies lie that this node has: by guid, since each node keeps them in files of its own.
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/detail/body_mutant.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/types/guid.hpp>
#include <mailfs/types/mail_location.hpp>

#include <asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string_view>

namespace mailfs::detail {

/// Made of the files themselves whenever a directory is opened, so nothing can be lost or be in contradiction with them.
/// Belongs to one executor. Memory: some 100 bytes a body.
template <message_format Format>
class body_places {
public:
    struct place {
        mail_location where;
        bool stored = false;  ///< it was synced, as far as is known: what was found in a file may not have been
    };

    /// Where a file's name tells its guid: a list of the directory. Else reads all files, whole. A file that cannot be scanned
    /// holds nothing, as far as this goes: its bodies come from other nodes again, and is_unread() tells. Throws what files()
    /// throws, and io.
    asio::awaitable<void> load(Format& format) {
        if (mutated(body_mutant::found_is_not_looked_for)) co_return;
        auto const files = co_await format.files();
        for (auto const& file : files) {
            if constexpr (Format::shares_files) co_await load_file(format, file);
            else add_named(file);
        }
    }

    place const* find(guid const& id) const noexcept {
        auto const at = all_.find(id);
        return at == all_.end() ? nullptr : &at->second;
    }
    /// What was synced is not given up for what may not have been.
    void add(guid const& id, mail_location where, bool stored) {
        auto const [at, fresh] = all_.try_emplace(id, place{where, stored});
        if (!fresh && (stored || !at->second.stored)) at->second = {where, stored};
    }
    void forget(guid const& id) noexcept { all_.erase(id); }
    /// The file goes.
    void forget_file(Format const& format, std::uint64_t number) {
        std::erase_if(all_, [&](auto const& each) { return format.file_number(each.first, each.second.where) == number; });
    }
    /// Nobody knows what is in that file.
    bool is_unread(std::uint64_t number) const noexcept { return unread_.contains(number); }
    std::size_t size() const noexcept { return all_.size(); }

private:
    asio::awaitable<void> load_file(Format& format, mail_file file) {
        try {
            auto const found = co_await format.scan(file);
            for (auto const& mail : found.mails)
                if (mail.sound) add(mail.id, mail.where, false);
        } catch (error const& e) {
            if (e.code() == errc::io || e.code() == errc::not_supported) throw;
            if (e.code() != errc::not_found) unread_.insert(file.number);
        }
    }
    void add_named(mail_file const& file) {
        constexpr std::size_t digits = 32;
        std::string_view const path = file.path;
        if (path.size() < digits) return;
        if (auto const id = guid::parse(path.substr(path.size() - digits))) add(*id, alone_in_its_file, false);
    }

    std::map<guid, place> all_;  // not by hash: peers choose guids
    std::set<std::uint64_t> unread_;
};

}  // namespace mailfs::detail
