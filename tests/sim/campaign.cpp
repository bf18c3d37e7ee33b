// SPDX-License-Identifier: BSL-1.0
#include "campaign.hpp"

#include "shrink.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace mailfs::sim {

namespace {

using mailfs::detail::planted;
using mailfs::detail::reached_so_far;

/// Plants a mutant in this thread.
struct planting {
    explicit planting(mailfs::detail::mutant m) { planted() = {m, 0}; }
    ~planting() { planted() = {}; }
    planting(planting const&) = delete;
    planting& operator=(planting const&) = delete;
};

class campaign {
public:
    explicit campaign(campaign_options const& o) : options_(o) {}

    void work() {
        planting const here(options_.planted);
        reached_so_far() = {};
        run_result sums;
        while (!enough_) {
            auto const n = next_++;
            if (n >= options_.schedules) break;
            auto const seed = options_.seed + n;
            auto const r = run(make_schedule(seed, options_.size));
            sums.add(r);
            ++done_;
            if (!r.violation.empty()) note({seed, r.violation, r.rule});
        }
        std::scoped_lock const lock(mutex_);
        result_.sums.add(sums);
        result_.met += planted().met;
        for (std::size_t i = 0; i < result_.reached.size(); ++i) result_.reached[i] += reached_so_far()[i];
    }
    std::uint64_t done() const noexcept { return done_; }
    bool is_over() const noexcept { return enough_ || done_ >= options_.schedules; }
    campaign_result result() {
        result_.schedules = done_;
        return std::move(result_);
    }

private:
    void note(failure f) {
        std::scoped_lock const lock(mutex_);
        if (!result_.first || f.seed < result_.first->seed) result_.first = std::move(f);
        if (++result_.violations >= options_.violations_max) enough_ = true;
    }

    campaign_options options_;
    std::atomic<std::uint64_t> next_ = 0, done_ = 0;
    std::atomic<bool> enough_ = false;
    std::mutex mutex_;
    campaign_result result_;
};

}  // namespace

campaign_result run_campaign(campaign_options const& options, std::function<void(std::uint64_t)> const& progress) {
    auto const begin = std::chrono::steady_clock::now();
    campaign all(options);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1U, options.jobs); ++i) threads.emplace_back([&all] { all.work(); });
    while (!all.is_over()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        if (progress) progress(all.done());
    }
    for (auto& t : threads) t.join();
    auto result = all.result();
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
}

schedule shorten(schedule const& s, std::string const& rule, mailfs::detail::mutant which, std::uint64_t runs) {
    planting const here(which);
    return shrink(s, [&](schedule const& shorter) { return run(shorter).rule == rule; }, runs);
}

}  // namespace mailfs::sim
