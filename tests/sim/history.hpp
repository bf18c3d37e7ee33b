// SPDX-License-Identifier: BSL-1.0
// Whether what clients were told inside one epoch is what one after the other would have been told: linearizability per mailbox.
//
// The master gives each operation a place, so the order is known and need not be searched for. Real time must agree with it, and
// each answer with a mailbox to which the operations happen in that order. What is not known of it (an operation without an
// answer, what a message was before the epoch) is left open.
#pragma once

#include <mailfs/types/guid.hpp>
#include <mailfs/types/lineage.hpp>

#include "ledger.hpp"
#include "violation.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace mailfs::sim {

class history {
public:
    static void check(std::deque<attempt> const& all) {
        std::map<std::uint32_t, std::vector<attempt const*>> epochs;
        for (auto const& a : all)
            if (is_sure(a)) epochs[a.at.epoch].push_back(&a);
        for (auto& [epoch, list] : epochs) {
            std::sort(list.begin(), list.end(), [](attempt const* a, attempt const* b) { return std::pair(a->at, a->number) < std::pair(b->at, b->number); });
            check_time(list);
            check_answers(list, unsure_in(epoch, list, all));
        }
    }

private:
    /// A message, as far as it is known.
    struct message {
        std::optional<bool> there;
        uid_t uid = 0;
        std::uint32_t known = 0, values = 0;  // registers
        std::optional<modseq_t> modseq;
    };

    static constexpr std::uint64_t late = 20'000'000;  // simulated time: no proposal comes later than that after its answer

    static bool is_sure(attempt const& a) noexcept { return a.what_became == fate::acknowledged && a.is_first_answer; }
    // Messages to which something may have happened in this epoch that is not in the list. Who is on its own orders a transaction that
    // the master has ordered too, so one that was acknowledged in another epoch may count in this one.
    static std::set<guid> unsure_in(std::uint32_t epoch, std::vector<attempt const*> const& list, std::deque<attempt> const& all) {
        auto began = list.front()->began, ended = list.front()->ended;
        for (auto const* a : list) began = std::min(began, a->began), ended = std::max(ended, a->ended);
        std::set<guid> out;
        for (auto const& a : all) {
            if (!a.may_have_happened() || (is_sure(a) && a.at.epoch == epoch)) continue;
            bool const apart = is_sure(a) && (a.began > ended || a.ended + late < began);
            if (!apart) out.insert(a.message);
        }
        return out;
    }
    // What was answered before another was asked for stands before it.
    static void check_time(std::vector<attempt const*> const& list) {
        attempt const* first = nullptr;  // answered, of those behind
        for (auto it = list.rbegin(); it != list.rend(); ++it) {
            auto const& a = **it;
            require(first == nullptr || first->at == a.at || first->ended >= a.began, "linear", "attempt {} at {} was made when attempt {} had been acknowledged at {}",
                    a.number, text_of(a.at), first == nullptr ? 0 : first->number, text_of(first == nullptr ? position{} : first->at));
            if (first == nullptr || a.ended < first->ended) first = &a;
        }
    }
    static void check_answers(std::vector<attempt const*> const& list, std::set<guid> const& unsure) {
        std::map<guid, message> mailbox;
        uid_t last = 0;
        for (auto const* a : list) {
            if (a->what == attempt::kind::append && a->effective) {
                require(a->uid > last, "linear", "attempt {} at {} was given UID {} after UID {}", a->number, text_of(a->at), a->uid, last);
                last = a->uid;
            }
            if (a->what != attempt::kind::metadata && !unsure.contains(a->message)) take(*a, mailbox[a->message]);
        }
    }
    static void take(attempt const& a, message& m) {
        auto const says = [&](bool right, char const* what) {
            require(right, "linear", "attempt {} on node {}, UID {}, acknowledged at {}: {}", a.number, a.node, a.uid, text_of(a.at), what);
        };
        bool const same_uid = m.uid != 0 && m.uid == a.uid;
        switch (a.what) {
            case attempt::kind::append:
                if (a.delivery != 0 && !a.effective) return;  // it had been delivered before
                says(a.effective, "nothing was appended");
                says(!m.there, "it was there already");
                m = {true, a.uid, all_registers, a.flags, a.at.modseq()};
                return;
            case attempt::kind::expunge:
                if (a.effective) says(m.there != false, "it was expunged twice");
                else says(m.there != true || !same_uid, "it was there, and was not expunged");
                if (a.effective) m = {false, a.uid, 0, 0, {}};
                return;
            default: change(a, m, same_uid, says);
        }
    }
    template <class Says>
    static void change(attempt const& a, message& m, bool same_uid, Says const& says) {
        if (m.there == false) return says(!a.effective && !a.modified, "it was expunged, and was changed");
        bool const addressed = same_uid && m.there == true;
        if (addressed && a.conditional && m.modseq) says(a.modified == (*m.modseq > a.unchanged_since), "UNCHANGEDSINCE was judged by another MODSEQ");
        if (a.modified) {
            says(a.conditional && !a.effective, "left alone, though nothing asked for that");
            return;
        }
        if (!a.effective && !addressed) return;  // it may have had another UID
        auto const mask = a.what == attempt::kind::replace ? all_registers : a.flags;
        auto const wanted = a.what == attempt::kind::remove ? 0 : a.flags;
        auto const differs = (m.values ^ wanted) & mask;
        if ((m.known & mask) == mask) says(a.effective == (differs != 0), a.effective ? "it was so already, and was changed" : "it was not so, and was not changed");
        m.there = true;
        m.uid = a.uid;
        m.known |= mask;
        m.values = (m.values & ~mask) | wanted;
        if (a.effective) m.modseq = a.at.modseq();
    }
};

}  // namespace mailfs::sim
