// SPDX-License-Identifier: BSL-1.0
// What the nodes of a replica set do about one directory of mail bodies: offer them, ask for them, hand them out.
//
// A body is named by its guid and never changes, so there is nothing to merge and no order to keep: each message says which body
// it is about, and an answer that comes late, twice or from another peer is as good as any. Invariants: `have` is said of what
// was synced, and of nothing else; a body counts when its checksum fits; who is silent is replaced, and nothing waits for ever.
// The page: docs/protocols/replication.md
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/detail/body_mutant.hpp>
#include <mailfs/dbox/detail/body_places.hpp>
#include <mailfs/dbox/detail/body_transfer.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/detail/signal.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/peer_codec.hpp>
#include <mailfs/format/peer_message.hpp>
#include <mailfs/replication/replica_set.hpp>
#include <mailfs/types/durability.hpp>
#include <mailfs/types/guid.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace mailfs::detail {

/// Belongs to the executor of its replica_set. open() it before anything else.
template <message_format Format, transport Transport, host Host>
class body_exchange final : public replica_endpoint, public std::enable_shared_from_this<body_exchange<Format, Transport, Host>> {
public:
    using set_type = replica_set<Transport, Host>;

    static constexpr std::size_t piece_size = format::body_piece_size_max;
    static constexpr std::size_t serves_max = 64;      ///< pieces that one peer can have us read at a time
    static constexpr std::size_t transfers_max = 1024; ///< bodies on their way in at a time, of which offers can make so many
    static constexpr std::size_t known_max = 64;       ///< bodies of several pieces whose checksum is kept while they are handed out
    static constexpr std::uint32_t look_ms = 50;       ///< while something is under way, peers that are silent are found so often

    body_exchange(Format format, std::string directory, dbox_options options, set_type& set)
        : own_(std::move(format)), name_(std::move(directory)), options_(options), set_(set) {}

    asio::awaitable<void> open() {
        if (is_open_) co_return;
        co_await places_.load(own_);
        executor_ = co_await asio::this_coro::executor;
        is_open_ = true;
        set_.attach(name_, *this);
    }
    /// What waits ends with closed.
    void close() noexcept {
        if (!std::exchange(is_open_, false)) return;
        set_.detach(name_);
        serving_.clear();
        for (auto const& [id, t] : std::exchange(transfers_, {})) finish(*t, errc::closed);
        put_changed_.raise();
        quiet_ended_.raise();
    }

    Format& own() noexcept { return own_; }
    Format const& own() const noexcept { return own_; }
    body_places<Format>& places() noexcept { return places_; }
    body_places<Format> const& places() const noexcept { return places_; }
    replication_options const& options() const noexcept { return set_.options(); }
    bool is_open() const noexcept { return is_open_; }
    set_type& set() noexcept { return set_; }

    /// Returns on how many disks all of them are: as many as were asked for, or as nodes are there to take them. `none`: they are
    /// written on this node, not synced. Throws busy when a peer that is there neither takes them nor refuses.
    asio::awaitable<std::size_t> put(std::span<mail_to_write const> mails, durability d) {
        check_open();
        auto const self = this->shared_from_this();
        auto const wanted = d == durability::stored ? std::max<std::size_t>(1, options().copies_on_disk) - 1 : 0;
        std::vector<std::unique_ptr<offer>> offers;
        if (wanted > 0)
            for (auto const& mail : mails) offers.push_back(std::make_unique<offer>(*this, mail, wanted));
        arm();
        for (auto& o : offers) spread(*o);
        set_.reschedule(name_);
        co_await put_here(mails, d);
        while (is_open_ && !all_done(offers)) co_await put_changed_.wait();
        check_open();
        std::size_t copies = wanted;
        for (auto const& o : offers) {
            if (o->stuck) throw error(errc::busy, name_, "a node that is up does not take the mail");
            copies = std::min(copies, o->have.size());
        }
        co_return copies + 1;
    }

    /// Returns when the body is on this node's disk. Asks so many peers at once. Throws body_missing: all other nodes say that
    /// they have none; unreachable; what write() throws.
    asio::awaitable<void> get(guid id, std::optional<std::uint64_t> expected, std::size_t at_once) {
        check_open();
        auto const self = this->shared_from_this();
        auto const t = find_or_begin(id);
        if (expected) t->expected = expected;
        t->at_once = std::max(t->at_once, at_once);
        advance(*t);
        set_.reschedule(name_);
        while (!t->ended) co_await t->done.wait();
        if (t->why == errc{}) co_return;
        throw error(t->why, name_, "mail " + id.hex() + (t->why == errc::closed ? "" : " is not on this node"));
    }

    /// The same of one peer, and few at a time: for the background.
    asio::awaitable<void> get_quietly(guid id, std::uint64_t size) {
        auto const self = this->shared_from_this();
        auto const most = std::max<std::size_t>(1, options().bodies_at_once);
        while (is_open_ && quiet_ >= most) co_await quiet_ended_.wait();
        check_open();
        if (places_.find(id) != nullptr) co_return;
        ++quiet_;
        std::exception_ptr failure;
        try {
            co_await get(id, size, 1);
        } catch (...) {
            failure = std::current_exception();
        }
        --quiet_;
        quiet_ended_.raise();
        if (failure) std::rethrow_exception(failure);
    }

    // --- replica_endpoint ----------------------------------------------------------------------------------------

    void link_up(std::uint32_t node) override { set_.send(name_, node, format::peer_bodies{name_, false}); }
    void link_down(std::uint32_t node, bool) override {
        serving_.erase(node);
        look_at_all();
    }
    void receive(std::uint32_t node, format::peer_message const& m) override {
        std::visit([&](auto const& one) { on(node, one); }, m);
        set_.reschedule(name_);
    }
    void tick() override {
        due_ = set_.steady_ms() + look_ms;
        look_at_all();
    }
    std::uint64_t next_due_ms() const noexcept override {
        if (offers_.empty() && transfers_.empty()) return ~std::uint64_t{0};
        return due_;
    }

private:
    /// A body that other nodes shall have before the caller goes on.
    struct offer {
        offer(body_exchange& e, mail_to_write const& m, std::size_t n) : exchange(e), mail(m), wanted(n) { e.offers_.emplace(m.id, this); }
        offer(offer const&) = delete;
        offer& operator=(offer const&) = delete;
        ~offer() {
            auto const [first, last] = exchange.offers_.equal_range(mail.id);
            for (auto at = first; at != last; ++at)
                if (at->second == this) {
                    exchange.offers_.erase(at);
                    break;
                }
        }

        body_exchange& exchange;
        mail_to_write const& mail;
        std::size_t wanted;
        std::optional<std::uint32_t> checksum{};
        std::map<std::uint32_t, std::uint64_t> asked{};  // and when it was heard of last
        std::set<std::uint32_t> have{}, failed{};
        bool stuck = false;
    };

    void check_open() const {
        if (!is_open_) throw error(errc::closed, name_, "not open");
    }

    // --- putting -------------------------------------------------------------------------------------------------

    asio::awaitable<void> put_here(std::span<mail_to_write const> mails, durability d) {
        std::vector<mail_to_write> left;
        for (auto const& mail : mails) {
            auto const* const known = places_.find(mail.id);
            if (known == nullptr || (d == durability::stored && !known->stored)) left.push_back(mail);
        }
        if (left.empty()) co_return;
        auto const where = co_await own_.write(left, d);
        for (std::size_t i = 0; i < left.size(); ++i) places_.add(left[i].id, where[i], d == durability::stored);
    }
    bool all_done(std::vector<std::unique_ptr<offer>>& offers) {
        bool all = true;
        for (auto& o : offers) all = spread(*o) && all;
        set_.reschedule(name_);
        return all;
    }
    // Offers it to as many peers as are missing. True: there are as many copies as there can be now.
    bool spread(offer& o) {
        auto const now = set_.steady_ms();
        if (o.have.size() >= o.wanted) return true;
        std::size_t hopeful = 0, waiting = 0;
        bool stuck = false;
        for (auto const& [node, heard] : o.asked) {
            if (o.have.contains(node) || o.failed.contains(node) || !serving_.contains(node)) continue;
            ++waiting;
            if (now < heard + options().body_ms) ++hopeful;
            stuck = stuck || now >= heard + options().call_ms / 2;
        }
        for (auto const node : candidates()) {
            if (o.have.size() + hopeful >= o.wanted) return false;
            if (o.asked.contains(node)) continue;
            ++waiting;
            if (!set_.has_room(node)) continue;
            ++hopeful;
            o.asked.emplace(node, now);
            auto first = piece_of(o, 0);
            first.offer = true;
            if (mutated(body_mutant::offer_counts_as_copy)) o.have.insert(node);
            set_.send(name_, node, first);
        }
        o.stuck = stuck;
        return waiting == 0 || stuck;
    }
    format::peer_body piece_of(offer& o, std::uint64_t offset) {
        if (!o.checksum) o.checksum = format::body_checksum(o.mail.id, o.mail.bytes);
        auto const written = o.mail.written_ms == 0 ? set_.host().now_ms() : o.mail.written_ms;
        return piece({false, o.mail.id, o.mail.mailbox, o.mail.received_ms, written, *o.checksum, offset, o.mail.bytes.size(), {}}, o.mail.bytes);
    }
    static format::peer_body piece(format::peer_body m, bytes_view whole) {
        auto const at = static_cast<std::size_t>(m.offset);
        auto const part = whole.subspan(at, std::min(piece_size, whole.size() - at));
        m.bytes.assign(part.begin(), part.end());
        return m;
    }
    // All that keep this directory, the next in number first, so that not all nodes put their load on one.
    std::vector<std::uint32_t> candidates() const {
        std::vector<std::uint32_t> all(serving_.begin(), serving_.end());
        auto const self = options().self.node;
        std::rotate(all.begin(), std::upper_bound(all.begin(), all.end(), self), all.end());
        return all;
    }

    // --- what is said --------------------------------------------------------------------------------------------

    template <class Other>
    void on(std::uint32_t, Other const&) {}  // nothing about bodies
    void on(std::uint32_t node, format::peer_bodies const& m) {
        serving_.insert(node);
        if (!m.answer) set_.send(name_, node, format::peer_bodies{name_, true});
        look_at_all();
    }
    void on(std::uint32_t node, format::peer_close const&) { link_down(node, false); }

    void on(std::uint32_t node, format::peer_want_body const& m) {
        auto const [first, last] = offers_.equal_range(m.id);
        for (auto at = first; at != last; ++at)
            if (auto const heard = at->second->asked.find(node); heard != at->second->asked.end()) heard->second = set_.steady_ms();
        auto& serves = serves_[node];
        if (serves >= serves_max) return set_.send(name_, node, format::peer_no_body{m.id, true});
        ++serves;
        asio::co_spawn(executor_, serve(this->shared_from_this(), node, m), asio::detached);
    }
    void on(std::uint32_t node, format::peer_have_body const& m) {
        auto const [first, last] = offers_.equal_range(m.id);
        for (auto at = first; at != last; ++at)
            if (at->second->asked.contains(node)) at->second->have.insert(node);
        if (first != last) put_changed_.raise();
    }
    void on(std::uint32_t node, format::peer_no_body const& m) {
        auto const [first, last] = offers_.equal_range(m.id);
        for (auto at = first; at != last; ++at)
            if (at->second->asked.contains(node)) (mutated(body_mutant::refusal_counts_as_copy) ? at->second->have : at->second->failed).insert(node);
        if (first != last) put_changed_.raise();
        auto const t = transfers_.find(m.id);
        if (t == transfers_.end() || !t->second->asked.contains(node)) return;
        auto const keep = t->second;
        if (!m.later) keep->absent.insert(node);
        keep->give_up(node);
        advance(*keep);
    }
    void on(std::uint32_t node, format::peer_body const& m) {
        if (m.offer) return take_offer(node, m);
        auto const t = transfers_.find(m.id);
        if (t != transfers_.end()) take(t->second, node, m);
    }

    void take_offer(std::uint32_t node, format::peer_body const& m) {
        auto const* const here = places_.find(m.id);
        if (here != nullptr && here->stored) {
            set_.send(name_, node, format::peer_have_body{m.id});
            return;
        }
        auto const known = transfers_.find(m.id);
        bool const full = transfers_.size() >= transfers_max || (reserved_ > 0 && reserved_ + m.size > options().bodies_in_size);
        if (known == transfers_.end() && (full || m.size > options_.message_size_max)) {
            set_.send(name_, node, format::peer_no_body{m.id, true});
            return;
        }
        auto const t = find_or_begin(m.id);
        if (known == transfers_.end()) reserved_ += t->reserved = m.size;
        t->owed.insert(node);
        t->asked.emplace(node, set_.steady_ms());
        take(t, node, m);
    }
    void take(std::shared_ptr<body_transfer> t, std::uint32_t node, format::peer_body m) {
        switch (t->receive(node, std::move(m), set_.steady_ms(), options_.message_size_max)) {
            case body_transfer::step::ignored: break;
            case body_transfer::step::more: set_.send(name_, node, format::peer_want_body{t->id, t->next()}); break;
            case body_transfer::step::again: advance(*t); break;
            case body_transfer::step::whole:
                t->writing = true;
                if (mutated(body_mutant::have_before_sync))
                    for (auto const owed : t->owed) set_.send(name_, owed, format::peer_have_body{t->id});
                asio::co_spawn(executor_, keep(this->shared_from_this(), t), asio::detached);
                break;
        }
    }

    // --- getting -------------------------------------------------------------------------------------------------

    std::shared_ptr<body_transfer> find_or_begin(guid const& id) {
        auto& t = transfers_[id];
        if (!t) t = std::make_shared<body_transfer>(id);
        arm();
        return t;
    }
    // Asks whom it has not asked yet, as long as too few are expected to answer; ends it when nobody is.
    void advance(body_transfer& t) {
        if (t.writing || t.ended) return;
        auto const now = set_.steady_ms();
        auto const patience = options().body_ms;
        if (t.source != 0 && (!serving_.contains(t.source) || now >= t.heard_ms + patience)) t.give_up(t.source);
        if (t.source != 0) return;
        std::size_t hopeful = 0;
        for (auto const& [node, when] : t.asked)
            if (!t.failed.contains(node) && serving_.contains(node) && now < when + patience) ++hopeful;
        for (auto const node : candidates()) {
            if (hopeful >= t.at_once) break;
            if (!t.asked.emplace(node, now).second) continue;
            ++hopeful;
            set_.send(name_, node, format::peer_want_body{t.id, t.next()});
        }
        if (hopeful > 0) return;
        bool const all_said_no = t.absent.size() >= options().peers.size();
        end(t, all_said_no ? errc::body_missing : errc::unreachable);
    }
    void end(body_transfer& t, errc why) {
        auto const at = transfers_.find(t.id);
        auto const alive = at != transfers_.end() ? at->second : nullptr;
        if (alive) transfers_.erase(at);
        finish(t, why);
    }
    void finish(body_transfer& t, errc why) {
        if (std::exchange(t.ended, true)) return;
        t.why = why;
        reserved_ -= t.reserved;
        for (auto const node : t.owed) {
            if (why == errc{}) set_.send(name_, node, format::peer_have_body{t.id});
            else set_.send(name_, node, format::peer_no_body{t.id, true});
        }
        t.done.raise();
    }
    static asio::awaitable<void> keep(std::shared_ptr<body_exchange> self, std::shared_ptr<body_transfer> t) {
        auto& e = *self;
        errc why{};
        try {
            auto const& m = t->told();
            mail_to_write const mail{t->id, m.received_ms, t->bytes(), m.mailbox, m.written_ms};
            auto const where = co_await e.own_.write(std::span(&mail, 1), durability::stored);
            e.places_.add(t->id, where.front(), true);
        } catch (std::system_error const& failure) {
            auto const ours = failure.code().category() == error_category();
            why = ours ? static_cast<errc>(failure.code().value()) : errc::io;
        }
        if (!e.is_open_) co_return;
        e.end(*t, why);
        e.set_.reschedule(e.name_);
    }

    // --- handing out ---------------------------------------------------------------------------------------------

    static asio::awaitable<void> serve(std::shared_ptr<body_exchange> self, std::uint32_t node, format::peer_want_body wanted) {
        auto& e = *self;
        auto made = co_await e.read_piece(wanted.id, wanted.offset);
        if (e.is_open_) co_await e.set_.wait_for_room(node);
        if (!e.is_open_) co_return;
        if (made) e.set_.send(e.name_, node, *made);
        else e.set_.send(e.name_, node, format::peer_no_body{wanted.id, false});
        if (--e.serves_[node] == 0) e.serves_.erase(node);
    }
    // Nothing: it is not here, or not whole.
    asio::awaitable<std::optional<format::peer_body>> read_piece(guid id, std::uint64_t offset) {
        if (auto const o = offers_.find(id); o != offers_.end()) {
            if (offset > o->second->mail.bytes.size()) co_return std::nullopt;
            co_return piece_of(*o->second, offset);
        }
        auto const* const place = places_.find(id);
        if (place == nullptr) co_return std::nullopt;
        auto const where = place->where;
        std::optional<format::peer_body> made;
        try {
            auto const told = known_.find(id);
            format::peer_body m;
            if (told != known_.end()) m = told->second;
            else m = co_await learn(id, where);
            if (offset <= m.size) {
                m.offset = offset;
                if (m.bytes.size() != m.size || offset > 0) m.bytes = co_await own_.read_part(id, where, offset, piece_size);
                made = std::move(m);
            }
        } catch (std::system_error const&) {  // who asks gets it elsewhere, and who reads it here hears of the error
            made.reset();
        } catch (std::bad_alloc const&) {
            made.reset();
        }
        co_return made;
    }
    // All but the offset, with the bytes where they fit into one piece. Of longer bodies one at a time is in memory, whatever
    // peers ask for.
    asio::awaitable<format::peer_body> learn(guid id, mail_location where) {
        auto const about = co_await own_.look(id, where);
        bool const is_long = about.size > piece_size;
        while (is_long && learning_) co_await learnt_.wait();
        learning_ = learning_ || is_long;
        std::vector<std::byte> whole;
        std::exception_ptr failure;
        try {
            whole = co_await own_.read(id, where, about.size);
        } catch (...) {
            failure = std::current_exception();
        }
        if (is_long) {
            learning_ = false;
            learnt_.raise();
        }
        if (failure) std::rethrow_exception(failure);
        format::peer_body m{false, id, about.mailbox, about.received_ms, about.written_ms, format::body_checksum(id, whole), 0, whole.size(), {}};
        if (is_long) remember(m);
        else m.bytes = std::move(whole);
        co_return m;
    }
    void remember(format::peer_body m) {
        if (known_.size() >= known_max) known_.erase(known_.begin());
        known_.insert_or_assign(m.id, std::move(m));
    }

    // Something is under way from now on.
    void arm() {
        if (auto const now = set_.steady_ms(); due_ <= now) due_ = now + look_ms;
    }
    void look_at_all() {
        std::vector<std::shared_ptr<body_transfer>> all;
        for (auto const& [id, t] : transfers_) all.push_back(t);
        for (auto const& t : all) advance(*t);
        if (!offers_.empty()) put_changed_.raise();
        set_.reschedule(name_);
    }

    Format own_;
    std::string name_;
    dbox_options options_;
    set_type& set_;
    body_places<Format> places_;
    asio::any_io_executor executor_;
    bool is_open_ = false;

    std::set<std::uint32_t> serving_;                                 // peers that keep this directory, while their links are up
    std::multimap<guid, offer*> offers_;                              // of calls under way
    std::map<guid, std::shared_ptr<body_transfer>> transfers_;        // on their way in
    std::uint64_t reserved_ = 0;                                      // bytes that offers among them are for
    std::map<std::uint32_t, std::size_t> serves_;                     // under way, by peer
    std::map<guid, format::peer_body> known_;                         // of what is handed out in pieces: all but the bytes
    std::uint64_t due_ = 0;
    bool learning_ = false;  // one of several pieces is being read
    std::size_t quiet_ = 0;  // fetched in the background
    signal put_changed_, learnt_, quiet_ended_;
};

}  // namespace mailfs::detail
