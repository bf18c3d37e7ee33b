// SPDX-License-Identifier: BSL-1.0
// What a mailbox is, said the naive way: a map of messages, and clients that keep lists.
#pragma once

#include <mailfs/format/mailbox_operations.hpp>
#include <mailfs/types/stamp.hpp>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs::test {

inline std::string folded(std::string name) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return name;
}

struct append_step {
    message_entry message;
};
struct flags_step {
    uid_set uids;
    flag_change change;
};
struct expunge_step {
    uid_set uids;
    bool only_deleted;
};
struct raise_step {
    std::uint32_t uid_validity;
    uid_t uid_next;
};
struct metadata_step {
    std::string key;
    std::optional<std::string> value;
};
struct cache_step {
    uid_t uid;
    std::uint64_t where;
};
struct relocate_step {
    uid_t uid;
    guid id;
    mail_location where;
};
using step = std::variant<append_step, flags_step, expunge_step, raise_step, metadata_step, cache_step, relocate_step>;

inline void encode(format::mailbox_transaction& t, step const& any) {
    struct visitor {
        format::mailbox_transaction& t;
        void operator()(append_step const& s) const { t.append(s.message); }
        void operator()(flags_step const& s) const { t.change_flags(s.uids, s.change); }
        void operator()(expunge_step const& s) const { t.expunge(s.uids, s.only_deleted); }
        void operator()(raise_step const& s) const { t.raise(s.uid_validity, s.uid_next); }
        void operator()(metadata_step const& s) const {
            t.metadata(s.key, s.value ? std::optional<std::string_view>(*s.value) : std::nullopt);
        }
        void operator()(cache_step const& s) const { t.cache(s.uid, s.where); }
        void operator()(relocate_step const& s) const { t.relocate(s.uid, s.id, s.where); }
    };
    std::visit(visitor{t}, any);
}

struct model_message {
    message_entry entry;
    std::set<std::string> keywords;  // folded
    modseq_t modseq = 0;
    std::uint64_t saved_ms = 0;
    std::uint64_t cache = 0;
    mailfs::dot dot;
    std::uint32_t part = 0;
};

struct mailbox_model {
    std::map<uid_t, model_message> messages;
    std::map<uid_t, modseq_t> vanished;
    std::map<std::string, std::string> metadata;
    std::vector<std::string> names;  // as first spelled
    std::uint32_t uid_validity = 0;
    std::uint64_t uid_next = 1;
    position at;

    // What the writer is told.
    std::set<uid_t> changed, modified, expunged;
    std::vector<uid_t> appended;
    bool keywords_refused = false;

    void apply(std::vector<step> const& steps, mailfs::dot const& id, mailfs::stamp when) {
        ++at.n;
        changed.clear(), modified.clear(), expunged.clear(), appended.clear();
        keywords_refused = false;
        std::uint32_t part = 0;
        for (auto const& any : steps) std::visit([&](auto const& s) { take(s, id, when, part); }, any);
    }

    void restart() { at = {at.epoch + 16, 0}; }

    std::uint64_t digest() const {
        std::uint64_t sum = 0;
        for (auto const& [uid, m] : messages) sum += digest_of(uid, m);
        return sum;
    }

private:
    template <class F>
    void each(uid_set const& uids, F&& f) {
        for (auto it = messages.begin(); it != messages.end();) {
            auto const here = it++;
            if (uids.contains(here->first)) f(here);
        }
    }
    std::set<std::string> known(std::vector<std::string> const& keywords, bool make) {
        std::set<std::string> out;
        for (auto const& k : keywords) {
            auto const name = folded(k);
            if (make && !folded_names_.contains(name)) {
                if (names.size() == 4096) {
                    keywords_refused = true;
                    continue;
                }
                names.push_back(k);
                folded_names_.insert(name);
            }
            out.insert(name);
        }
        return out;
    }

    // Whole seconds, as many as 32 bits count; a time that is negative is before all of them.
    static std::uint64_t in_seconds(std::uint64_t ms) {
        auto const seconds = static_cast<std::int64_t>(ms) / 1000;
        return static_cast<std::uint64_t>(std::clamp<std::int64_t>(seconds, 0, 4'294'967'295)) * 1000;
    }

    void take(append_step const& s, mailfs::dot const& id, mailfs::stamp when, std::uint32_t& part) {
        auto const nth = part++;
        if (uid_next == uid_max) return;
        auto const uid = static_cast<uid_t>(uid_next++);
        auto& m = messages[uid];
        m = {s.message, known(s.message.keywords, true), at.modseq(), in_seconds(when.milliseconds()), 0, id, nth};
        m.entry.received_ms = in_seconds(m.entry.received_ms);
        appended.push_back(uid);
    }
    void take(flags_step const& s, mailfs::dot const&, mailfs::stamp, std::uint32_t&) {
        auto const words = known(s.change.keywords, s.change.mode != flag_mode::remove);
        each(s.uids, [&](auto it) {
            auto& [uid, m] = *it;
            if (s.change.unchanged_since && m.modseq > *s.change.unchanged_since) {
                modified.insert(uid);
                return;
            }
            auto const before = std::pair(m.entry.flags, m.keywords);
            switch (s.change.mode) {
                case flag_mode::add:
                    m.entry.flags |= s.change.flags;
                    m.keywords.insert(words.begin(), words.end());
                    break;
                case flag_mode::remove:
                    m.entry.flags = m.entry.flags & ~s.change.flags;
                    for (auto const& w : words) m.keywords.erase(w);
                    break;
                case flag_mode::replace: m.entry.flags = s.change.flags; m.keywords = words;
            }
            if (before == std::pair(m.entry.flags, m.keywords)) return;
            m.modseq = at.modseq();
            changed.insert(uid);
        });
    }
    void take(expunge_step const& s, mailfs::dot const&, mailfs::stamp, std::uint32_t&) {
        each(s.uids, [&](auto it) {
            if (s.only_deleted && !has(it->second.entry.flags, flag::deleted)) return;
            vanished[it->first] = at.modseq();
            expunged.insert(it->first);
            messages.erase(it);
        });
    }
    void take(raise_step const& s, mailfs::dot const&, mailfs::stamp, std::uint32_t&) {
        uid_validity = std::max(uid_validity, s.uid_validity);
        uid_next = std::max<std::uint64_t>(uid_next, s.uid_next);
    }
    void take(metadata_step const& s, mailfs::dot const&, mailfs::stamp, std::uint32_t&) {
        if (!s.value) {
            metadata.erase(s.key);
            return;
        }
        auto after = metadata;
        after[s.key] = *s.value;
        std::size_t size = 0;
        for (auto const& [key, value] : after) size += key.size() + value.size();
        if (size <= 65536) metadata = std::move(after);
    }
    void take(cache_step const& s, mailfs::dot const&, mailfs::stamp, std::uint32_t&) {
        auto const fits = s.where % 8 == 0 && s.where < 8ULL << 32;
        if (auto const it = messages.find(s.uid); it != messages.end()) it->second.cache = fits ? s.where : 0;
    }
    void take(relocate_step const& s, mailfs::dot const&, mailfs::stamp, std::uint32_t&) {
        auto const it = messages.find(s.uid);
        if (it != messages.end() && it->second.entry.id == s.id) it->second.entry.where = s.where;
    }

    std::set<std::string> folded_names_;

    static std::uint64_t digest_of(uid_t uid, model_message const& m) {
        auto mix = [](std::uint64_t h, std::uint64_t word) {
            h = (h ^ word) * 0x9e37'79b9'7f4a'7c15U;
            return h ^ h >> 29;
        };
        std::uint64_t low = 0, high = 0;  // the octets of the guid, as two little-endian words
        for (std::size_t i = 8; i-- > 0;) {
            low = low << 8 | m.entry.id.octets[i];
            high = high << 8 | m.entry.id.octets[8 + i];
        }
        auto h = mix(low, high);
        h = mix(h, std::uint64_t{uid} << 32 | std::uint32_t(m.entry.flags));
        return mix(h, m.modseq) * 0xbf58'476d'1ce4'e5b9U;
    }
};

}  // namespace mailfs::test
