// SPDX-License-Identifier: BSL-1.0
// purger: gives back the space of mail that no mailbox refers to any more, a little at a time, while everything goes on.
//
// Who is safe from it, and why: docs/decisions/purge-marks-twice.md
#pragma once

#include <mailfs/config.hpp>
#include <mailfs/dbox/message_format.hpp>
#include <mailfs/error.hpp>
#include <mailfs/format/dbox_mark.hpp>
#include <mailfs/format/dbox_message.hpp>
#include <mailfs/fs/filesystem.hpp>
#include <mailfs/fwd.hpp>
#include <mailfs/store/account.hpp>
#include <mailfs/store/detail/account_core.hpp>
#include <mailfs/store/purge_marker.hpp>
#include <mailfs/store/purge_marks.hpp>
#include <mailfs/store/purge_mover.hpp>

#include <asio/awaitable.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailfs {

struct purge_options {
    std::uint32_t dead_percent_min = 50;  ///< a shared mail file of which more is out of use is written anew; 100: none is
    std::uint64_t lower_after_ms = 0;     ///< over a tiered filesystem: a mail file of which all messages in use were saved longer ago is
                                          ///< moved to the second one; 0: none is
};

/// What one step may do. It ends when one of these is used up; a single mailbox, file or message is never divided.
struct purge_budget {
    std::size_t mailboxes = 16;
    std::size_t files = 256;                           ///< looked at or removed
    std::uint64_t bytes = std::uint64_t{4} << 20;      ///< of messages and files moved, and of files scanned for how far they are compressed
};

/// In the order of a round.
enum class purge_phase : std::uint8_t {
    idle,    ///< between rounds
    mark,    ///< reads mailboxes for what is in use
    look,    ///< looks at files, for what is not; moves old ones to the second filesystem
    sweep,   ///< removes what was out of use twice
    move,    ///< writes what is left of files anew
    note,    ///< leaves the mark for the next round
};

/// What a step did, and what is next.
struct purge_report {
    purge_phase phase = purge_phase::idle;  ///< what the next step goes on with; idle: the round is complete
    std::uint64_t done = 0, total = 0;      ///< of that phase; total may grow
    std::uint64_t wait_ms = 0;              ///< how long until the next step has something to do

    std::uint64_t mailboxes_read = 0;
    std::uint64_t files_seen = 0;
    std::uint64_t files_removed = 0;
    std::uint64_t bytes_removed = 0;
    std::uint64_t mails_moved = 0;
    std::uint64_t bytes_moved = 0;
    std::uint64_t files_lowered = 0;        ///< to the second filesystem
    std::uint64_t bytes_lowered = 0;
    std::uint64_t mails_unreadable = 0;     ///< in files to be written anew, which therefore stay
    std::uint64_t mailboxes_removed = 0;    ///< directories that no tree names
    std::uint64_t files_stuck = 0;          ///< could not be removed or lowered; `failure` is why, for the first
    std::exception_ptr failure;
    std::uint64_t bytes_waiting = 0;        ///< when a round is complete: found out of use, to be removed by later rounds

    bool complete() const noexcept { return phase == purge_phase::idle; }
};

/// Works on one account, in rounds; any number of purgers of any processes may do so at once. What a round finds to be out
/// of use for the second time, a grace period (store_options::grace_ms) after the first, it removes. In between it rests,
/// and a new object goes on where another left off: only the round under way is lost with the object. Belongs to the
/// store's executor; one step at a time; it must not be moved or destroyed meanwhile.
template <class Index, message_format Format>
class purger {
public:
    static constexpr std::uint64_t batch_live_bytes_max = std::uint64_t{256} << 20;  ///< in use, of files written anew together
    static constexpr std::size_t batch_files_max = 1024;

    explicit purger(account<Index, Format> const& of, purge_options options = {})
        : core_(of.core()),
          options_(options),
          writer_(core_->make_format()),
          marks_(core_->services->fs, core_->marks_directory()) {}

    /// Does a little. Throws what keeps it from going on, and begins a new round after that: newer_version and corrupt where a
    /// mailbox cannot be read (nothing is removed then), busy, io, no_space, ...
    asio::awaitable<purge_report> step(purge_budget budget = {}) {
        report_ = {};
        budget_ = budget;
        passed_ = scanned_ = 0;
        std::exception_ptr failure;
        try {
            co_await go_on();
        } catch (...) {
            failure = std::current_exception();
        }
        if (failure) {
            end_round();
            std::rethrow_exception(failure);
        }
        co_return tell();
    }

private:
    using core_type = detail::account_core<Index, Format>;
    using marker_type = detail::purge_marker<Index, Format>;
    using mover_type = detail::purge_mover<Index, Format>;

    struct chosen {
        mail_file file;
        std::uint64_t size;  // bytes: of a dead file all, of one to be written anew those in use
    };
    static constexpr std::uint64_t passed_per_file = 64;

    bool has_budget() const noexcept {
        auto const files = report_.files_seen + report_.files_removed + passed_ / passed_per_file;
        return report_.mailboxes_read < budget_.mailboxes && files < budget_.files && report_.bytes_moved + report_.bytes_lowered + scanned_ < budget_.bytes;
    }

    asio::awaitable<void> go_on() {
        if (phase_ == purge_phase::idle) co_await begin_round();
        while (phase_ != purge_phase::idle && has_budget()) {
            switch (phase_) {
                case purge_phase::mark: co_await mark(); break;
                case purge_phase::look: co_await look(); break;
                case purge_phase::sweep: co_await sweep(); break;
                case purge_phase::move: co_await move(); break;
                case purge_phase::note: co_await note(); break;
                case purge_phase::idle: break;
            }
        }
    }

    asio::awaitable<void> begin_round() {
        co_await core_->refresh_tree();
        auto const account = core_->state().object();
        before_ = co_await marks_.load(account);
        auto const now = core_->services->host.now_ms();
        if (before_ && before_->taken_ms > now) before_.reset();  // the clock was set back: it tells nothing
        if (before_ && now - before_->taken_ms < grace_ms()) {
            report_.wait_ms = grace_ms() - (now - before_->taken_ms);
            tell_waiting(*before_);
            co_return;
        }
        if (before_) std::sort(before_->files.begin(), before_->files.end(), comes_first);
        has_moved_ = false;
        begin_mark();
    }
    void tell_waiting(dbox_mark const& mark) noexcept {
        for (auto const& f : mark.files)
            if (f.live == 0 || is_worth_moving(f)) report_.bytes_waiting += f.size - std::min(f.size, f.live);
    }
    std::uint64_t grace_ms() const noexcept { return core_->services->options.grace_ms; }

    void begin_mark() {
        marker_.emplace(core_, before_.has_value(), young_since());
        phase_ = purge_phase::mark;
    }
    asio::awaitable<void> mark() {
        co_await marker_->step();
        ++report_.mailboxes_read;
        if (!marker_->done()) co_return;
        files_ = co_await core_->mails.files();
        at_ = 0;
        now_ = {};
        condemned_.clear();
        rewritten_.clear();
        phase_ = purge_phase::look;
    }

    // Only what was of the same size at the mark before is touched: nobody appends to it any more.
    asio::awaitable<void> look() {
        if (at_ == files_.size()) {
            co_await look_for_mailboxes();
            at_ = 0;
            phase_ = has_moved_ ? purge_phase::note : purge_phase::sweep;
            co_return;
        }
        auto const file = files_[at_++];
        auto const& places = marker_->places();
        bool const in_use = places.has_file(file.number);
        if (in_use && !Format::shares_files) {
            if (is_old(file)) co_await lower(file);
            else ++passed_;
            co_return;
        }
        ++report_.files_seen;
        auto const opened = co_await open(file);
        if (!opened) co_return;
        marked_file found{file.number, opened->size, places.bytes_in(file.number), 0};
        auto const* const before = find(found);
        if (in_use && opened->may_be_compressed) {
            if (before != nullptr) found.whole = co_await bytes_if_none_were_compressed(file, *before);
            if (found.whole != 0) found.live = share_of(found);
        }
        if (in_use && !is_worth_moving(found)) {
            bool const old = is_old(file);
            if (old && before != nullptr) co_await lower(file);
            if ((old && before == nullptr) || opened->may_be_compressed) note(found);
            co_return;
        }
        if (before != nullptr && in_use) rewritten_.push_back({file, found.live});
        if (before != nullptr && !in_use && before->live == 0 && !has_moved_) condemned_.push_back({file, found.size});
        else note(found);
    }
    // --- old mail, on a tiered filesystem
    static constexpr bool has_tiers = tiered_filesystem<typename Index::fs_type>;

    std::optional<std::uint64_t> young_since() const {
        if (!has_tiers || options_.lower_after_ms == 0) return std::nullopt;
        auto const now = core_->services->host.now_ms();
        return now - std::min(now, options_.lower_after_ms);
    }
    bool is_old(mail_file const& file) const {
        return has_tiers && options_.lower_after_ms != 0 && !has_moved_ && !marker_->young().has_file(file.number);
    }
    // Nobody appends to it any more. One that cannot be moved keeps nobody from moving others.
    asio::awaitable<void> lower([[maybe_unused]] mail_file const& file) {
        if constexpr (has_tiers) {
            if (!Format::shares_files) ++report_.files_seen;
            try {
                auto const bytes = co_await core_->services->fs.move_down(file.path);
                if (!bytes) co_return;
                ++report_.files_lowered;
                report_.bytes_lowered += *bytes;
            } catch (error const&) {
                ++report_.files_stuck;
                if (!report_.failure) report_.failure = std::current_exception();
            }
        }
        co_return;
    }

    void note(marked_file const& f) {
        if (now_.files.size() < dbox_mark_files_max) now_.files.push_back(f);
    }
    struct facts {
        std::uint64_t size;
        bool may_be_compressed;
    };
    asio::awaitable<std::optional<facts>> open(mail_file const& file) {
        auto opened = co_await core_->services->fs.open(file.path);
        if (!opened) co_return std::nullopt;
        auto const size = co_await opened->size();
        facts found{size, false};
        if (core_->services->options.dbox.compression == nullptr) co_return found;
        dbox_file_header header;
        std::vector<std::byte> bytes(sizeof header);
        auto const got = co_await opened->read(0, bytes);
        found.may_be_compressed = !decode(bytes_view(bytes).first(got), header) && (header.required & dbox_feature_compression) != 0;
        co_return found;
    }
    // Rows tell how long messages are, not how much room they take in a file. Of one that nobody appends to any more: once, for marks
    // keep it. 0: it cannot be told, and the file stays as it is.
    asio::awaitable<std::uint64_t> bytes_if_none_were_compressed(mail_file file, marked_file before) {
        if (before.whole != 0) co_return before.whole;
        auto& known = wholes_[{before.number, before.size}];
        if (known != 0) co_return known;
        std::uint64_t sum = 0;
        try {
            auto const found = co_await core_->mails.scan(file);
            scanned_ += found.size;
            for (auto const& m : found.mails) sum += dbox_extent(m.size);
        } catch (error const&) {  // another purger was faster; or what moves mail from there will tell
        }
        co_return known = sum;
    }
    // The bytes in use, if all messages of the file were compressed by the same ratio.
    static std::uint64_t share_of(marked_file const& f) noexcept {
        auto const share = static_cast<double>(f.live) / static_cast<double>(f.whole);
        return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(static_cast<double>(f.size) * std::min(share, 1.0)));
    }
    bool is_worth_moving(marked_file const& f) const noexcept {
        auto const all = f.size - std::min<std::uint64_t>(f.size, sizeof(dbox_file_header));
        auto const dead = all - std::min(all, f.live);
        auto const percent = std::min<std::uint64_t>(options_.dead_percent_min, 100);
        return dead > all / 100 * percent + all % 100 * percent / 100;
    }
    // The same file, of the same size, in the mark before.
    marked_file const* find(marked_file const& f) const {
        if (!before_) return nullptr;
        auto const& all = before_->files;
        auto const at = std::lower_bound(all.begin(), all.end(), f, comes_first);
        return at == all.end() || comes_first(f, *at) ? nullptr : &*at;
    }
    static bool comes_first(marked_file const& a, marked_file const& b) noexcept {
        return std::pair(a.number, a.size) < std::pair(b.number, b.size);
    }

    asio::awaitable<void> look_for_mailboxes() {
        auto const directory = core_->directory + "/box";
        auto const names = co_await core_->services->fs.list(directory);
        for (auto const& name : names) {
            auto const id = guid::parse(name);
            if (id && core_->state().name_of(*id) == nullptr && now_.mailboxes.size() < dbox_mark_mailboxes_max)
                now_.mailboxes.push_back(*id);
        }
    }

    asio::awaitable<void> sweep() {
        if (at_ < condemned_.size()) {
            auto const dead = condemned_[at_++];
            bool const counts = co_await marks_.still_there();
            if (counts) co_await remove(dead);
            else end_round();
            co_return;
        }
        co_await sweep_mailboxes();
        at_ = 0;
        phase_ = purge_phase::move;
    }
    // One that cannot be removed keeps nobody from removing others.
    asio::awaitable<void> remove(chosen dead) {
        try {
            bool const removed = co_await core_->mails.remove(dead.file);
            ++report_.files_removed;
            if (removed) report_.bytes_removed += dead.size;
            co_return;
        } catch (error const&) {
            ++report_.files_stuck;
            if (!report_.failure) report_.failure = std::current_exception();
        }
        note({dead.file.number, dead.size, 0, 0});
    }
    asio::awaitable<void> sweep_mailboxes() {
        if (!before_) co_return;
        co_await core_->refresh_tree();
        auto const found = now_.mailboxes;
        for (auto const& id : found) {
            bool const twice = std::find(before_->mailboxes.begin(), before_->mailboxes.end(), id) != before_->mailboxes.end();
            if (!twice || core_->state().name_of(id) != nullptr) continue;
            co_await core_->discard_mailbox(id);
            ++report_.mailboxes_removed;
            std::erase(now_.mailboxes, id);
        }
    }

    // A batch of files at a time; then all is looked at once more, so that what they leave behind counts from now on.
    asio::awaitable<void> move() {
        if (!mover_) {
            if (at_ == rewritten_.size()) {
                if (has_moved_) begin_mark();
                else phase_ = purge_phase::note;
                co_return;
            }
            mover_.emplace(core_, writer_, next_batch());
        }
        if (!mover_->has_read_all()) {
            co_await mover_->read_mailbox();
            ++report_.mailboxes_read;
        } else if (!mover_->done()) {
            auto const moved = co_await mover_->move_some();
            report_.mails_moved += moved.mails;
            report_.bytes_moved += moved.bytes;
            report_.mails_unreadable += moved.unreadable;
            has_moved_ = has_moved_ || moved.mails > 0;
        } else {
            mover_.reset();
        }
    }
    std::vector<mail_file> next_batch() {
        std::vector<mail_file> batch;
        for (std::uint64_t live = 0; at_ < rewritten_.size() && batch.size() < batch_files_max; ++at_) {
            live += rewritten_[at_].size;
            if (live > batch_live_bytes_max && !batch.empty()) break;
            batch.push_back(rewritten_[at_].file);
        }
        return batch;
    }

    asio::awaitable<void> note() {
        now_.account = core_->state().object();
        now_.taken_ms = core_->services->host.now_ms();  // all was looked at before
        tell_waiting(now_);
        co_await marks_.save(now_);
        report_.wait_ms = grace_ms();
        end_round();
    }

    void end_round() {
        phase_ = purge_phase::idle;
        marker_.reset();
        mover_.reset();
        files_ = {};
        condemned_ = {};
        rewritten_ = {};
        before_.reset();
        now_ = {};
        wholes_.clear();
    }

    purge_report tell() {
        report_.phase = phase_;
        switch (phase_) {
            case purge_phase::mark: report_.done = marker_->read(), report_.total = marker_->to_read(); break;
            case purge_phase::look: report_.done = at_, report_.total = files_.size(); break;
            case purge_phase::sweep: report_.done = at_, report_.total = condemned_.size(); break;
            case purge_phase::move:
                report_.done = mover_ ? mover_->moved() : 0, report_.total = mover_ ? mover_->to_move() : 0;
                break;
            case purge_phase::note:
            case purge_phase::idle: break;
        }
        return report_;
    }

    std::shared_ptr<core_type> core_;
    purge_options options_;
    Format writer_;  // its own files, apart from those of deliveries
    detail::purge_marks<typename Index::fs_type> marks_;

    purge_phase phase_ = purge_phase::idle;
    purge_budget budget_;
    purge_report report_;
    std::optional<dbox_mark> before_;  // at least a grace period old
    dbox_mark now_;                    // of this round, in the making
    std::optional<marker_type> marker_;
    std::optional<mover_type> mover_;
    std::vector<mail_file> files_;
    std::vector<chosen> condemned_, rewritten_;
    std::size_t at_ = 0;  // of what the phase goes through
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> wholes_;  // found in this round, by number and size
    bool has_moved_ = false;
    std::uint64_t passed_ = 0;   // files that were passed by in this step without a look
    std::uint64_t scanned_ = 0;  // bytes in this step
};

}  // namespace mailfs
