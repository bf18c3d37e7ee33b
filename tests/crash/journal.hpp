// SPDX-License-Identifier: BSL-1.0
// What programs were told, kept beside the disk as a naive model: which contents a mailbox may be found with.
//
// Each transaction of an operation is noted before the operation begins, and acknowledged when it returned. After the end of a
// process or a power cut, what is found must be one of the states that the notes allow; from then on that state counts.
#pragma once

#include <mailfs/types/guid.hpp>
#include <mailfs/types/uid.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mailfs::crash {

/// A broken promise of the library: what() is a sentence.
struct violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Which message it is tells `name`, in the model and in the row (as its INTERNALDATE) and in the body.
struct message {
    std::uint64_t name = 0;
    uid_t uid = 0;  ///< 0: nobody was told
    std::uint32_t flags = 0;
    std::set<std::string> keywords{};
};
using contents = std::vector<message>;

std::string text_of(contents const& c);

/// Tells what happens, for who looks into one case.
inline bool tracing = false;

/// The number of a stretch of work in which processes ran at the same time; 0: alone.
using stretch_number = std::uint64_t;

struct change {
    enum kind_type : std::uint8_t { append, flags, expunge } kind = append;
    contents added{};
    std::set<uid_t> uids{};
    std::uint32_t mode = 0;  ///< of a change of flags: 0 add, 1 remove, 2 replace
    std::uint32_t flag_bits = 0;
    std::set<std::string> keywords{};

    bool acknowledged = false;
    bool stored = false;  ///< acknowledged, for a power cut too
    std::uint64_t by = 0;
    stretch_number stretch = 0;
    std::uint64_t boot = 0;       ///< what came before a power cut may go, and what came after it stay
    bool certainly_there = false, certainly_gone = false;  ///< when the mailbox was settled last

    bool beside(change const& other) const noexcept { return stretch != 0 && stretch == other.stretch && by != other.by; }
};
void apply(contents& c, change const& what);

struct mailbox_model {
    std::string account;
    guid id{};                       ///< zero: not seen yet
    std::uint32_t uid_validity = 0;  ///< the same
    contents base{};                 ///< what is on stable storage at least
    std::vector<std::shared_ptr<change>> changes{};

    /// After all changes, as a client expects it.
    contents now() const;
    /// What a stored message in it asks of the tree.
    bool must_be_there() const;
};
using mailbox_ptr = std::shared_ptr<mailbox_model>;

using name_map = std::map<std::string, mailbox_ptr>;

struct tree_change {
    enum kind_type : std::uint8_t { create, remove, rename, subscribe } kind = create;
    std::string name{}, to{};
    bool on = false;
    bool acknowledged = false;
    bool visible = false;  ///< it was found once: until the power is cut it stays
    std::uint64_t by = 0;
    stretch_number stretch = 0;
    std::map<std::string, mailbox_ptr> made{};  ///< mailboxes that it makes, where it does
    mailbox_ptr removed{};                      ///< the one that it removes, where it does
};

struct tree_model {
    std::string account;
    name_map names{};
    std::set<std::string> subscribed{};
    std::vector<std::shared_ptr<tree_change>> changes{};

    void apply(tree_change& what);
    tree_model now() const;
};

/// A row as a process shows it.
struct seen_row {
    message what;
    modseq_t modseq = 0;
    std::uint32_t size = 0;
    guid id{};
};
struct seen_mailbox {
    guid id{};
    std::uint32_t uid_validity = 0;
    uid_t uid_next = 0;
    modseq_t highest_modseq = 0;
    std::vector<seen_row> rows{};
};
struct seen_account {
    std::map<std::string, seen_mailbox> mailboxes{};
    std::set<std::string> subscribed{};
};

class journal {
public:
    std::map<std::string, tree_model> trees;
    std::set<std::pair<std::string, std::uint64_t>> loose_bodies;  ///< account, message: written, not known to be stored
    bool power_was_cut = false;                                    ///< since the state was last settled
    std::uint64_t boot = 0;                                        ///< how often it was cut

    void cut_power() {
        power_was_cut = true;
        ++boot;
    }

    tree_model& tree(std::string const& account);
    /// The mailbox of that name as a client expects it; null: there is none.
    mailbox_ptr find(std::string const& account, std::string const& name) const;

    std::shared_ptr<change> note(mailbox_ptr const& in, change what);
    std::shared_ptr<tree_change> note(std::string const& account, tree_change what);
    /// What `gone` takes away must stand where `kept` puts it, whatever happens.
    void note_move(std::shared_ptr<change> kept, std::shared_ptr<change> gone) { moves_.emplace_back(std::move(kept), std::move(gone)); }

    /// What somebody was shown: UIDs and MODSEQs never go back nor change their meaning. Throws violation.
    void shown(std::string const& account, seen_mailbox const& box);
    /// Compares what was found with what may be there, and takes it for the truth from now on. Throws violation.
    void settle(std::map<std::string, seen_account> const& found);

private:
    void settle_tree(tree_model& tree, seen_account const& found);
    void check_stored_mailboxes(tree_model const& tree, tree_model const& match) const;
    void settle_mailbox(mailbox_model& box, std::string const& name, seen_mailbox const& found);
    void check_moves();

    using box_key = std::pair<std::string, std::uint32_t>;  // account, UIDVALIDITY: no two mailboxes of an account share one
    struct high_water {
        uid_t uid_next = 0;
        modseq_t highest_modseq = 0;
        guid id{};
    };
    std::map<box_key, high_water> highest_;
    std::map<std::tuple<std::string, std::uint32_t, uid_t>, std::pair<std::uint64_t, guid>> messages_;
    std::map<std::tuple<std::string, std::uint32_t, uid_t, modseq_t>, std::pair<std::uint32_t, std::set<std::string>>> flags_;
    std::vector<std::pair<std::shared_ptr<change>, std::shared_ptr<change>>> moves_;
};

}  // namespace mailfs::crash
