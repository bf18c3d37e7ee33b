// SPDX-License-Identifier: BSL-1.0
// Does replication keep its promises, whatever befalls the network, the disks, the processes and the clocks?
//   mailfs-sim --seed N --schedules M --nodes K       runs schedules, prints one line for each figure
//   mailfs-sim --mutants                              plants each error of the list in turn, and sees it found
//   mailfs-sim --seed N --trace FILE                  draws that schedule
// A schedule that fails is made short and printed as a test.
#include "campaign.hpp"
#include "found.hpp"
#include "run.hpp"
#include "trace.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace mailfs::sim;
using mailfs::detail::mutant;
using mailfs::detail::is_of_broken_slots;
using mailfs::detail::is_of_shared_store;
using mailfs::detail::mutant_names;
using mailfs::detail::reached;
using mailfs::detail::reached_names;

namespace {

struct options {
    campaign_options campaign;
    bool mutants = false, found = false, fresh = false;
    std::vector<std::string> mutant_names;
    std::string trace;
    std::uint64_t row_hits_min = 0;
};

/// A bar on a terminal, nothing elsewhere.
class bar {
public:
    explicit bar(std::string what, std::uint64_t total) : what_(std::move(what)), total_(total) {}
    ~bar() { clear(); }
    bar(bar const&) = delete;
    bar& operator=(bar const&) = delete;

    void at(std::uint64_t done) {
        if (!on_terminal_ || ++calls_ % 5 != 1) return;
        constexpr std::uint64_t width = 40;
        auto const full = total_ == 0 ? 0 : std::min(width, done * width / total_);
        fmt::print(stderr, "\r{:<24} [{}{}] {}/{}", what_, std::string(full, '#'), std::string(width - full, ' '), done, total_);
        std::fflush(stderr);
    }
    void clear() const {
        if (on_terminal_ && calls_ > 0) fmt::print(stderr, "\r\033[K");
    }

private:
    std::string what_;
    std::uint64_t total_, calls_ = 0;
    bool on_terminal_ = ::isatty(2) == 1;
};

campaign_result run_with_bar(campaign_options const& o, std::string const& what) {
    bar shown(what, o.schedules);
    return run_campaign(o, [&](std::uint64_t done) { shown.at(done); });
}

void print(campaign_result const& r) {
    auto const years = static_cast<double>(r.sums.simulated) / 1e6 / 86400 / 365.25;
    auto const seconds = std::max(r.seconds, 1e-9);
    fmt::print("sim.schedules {}\nsim.violations {}\n", r.schedules, r.violations);
    fmt::print("sim.seconds {:.1f}\nsim.schedules_per_second {:.0f}\n", r.seconds, static_cast<double>(r.schedules) / seconds);
    fmt::print("sim.years {:.5f}\nsim.times_real_time {:.0f}\n", years, static_cast<double>(r.sums.simulated) / 1e6 / seconds);
    fmt::print("sim.events {}\nsim.epochs {}\nsim.renumbered {}\n", r.sums.events, r.sums.epochs, r.sums.renumbered);
    fmt::print("sim.operations {}\nsim.operations.acknowledged {}\n", r.sums.proposed, r.sums.acknowledged);
    fmt::print("sim.operations.refused {}\nsim.operations.unknown {}\n", r.sums.refused, r.sums.unknown);
    fmt::print("sim.operations.lost_as_allowed {}\n", r.sums.lost);
    fmt::print("sim.clients.deltas {}\nsim.clients.fulls {}\nsim.settled_ms_max {}\n", r.sums.deltas, r.sums.fulls, r.sums.settled / 1000);
    for (std::size_t d = 0; d < deed_count; ++d) fmt::print("sim.deed.{} {}\n", deed_names[d], r.sums.deeds[d]);
    for (std::size_t k = 0; k < power_cut_count; ++k) fmt::print("sim.power_cut.{} {}\n", power_cut_names[k], r.sums.power_cuts[k]);
    for (std::size_t i = 0; i < r.reached.size(); ++i) fmt::print("sim.row.{} {}\n", reached_names[i], r.reached[i]);
}

void print_failure(campaign_options const& o, failure const& f) {
    fmt::print("\nseed {}: {}\n", f.seed, f.violation);
    std::fflush(stdout);
    auto const shorter = shorten(make_schedule(f.seed, o.size), f.rule, o.planted);
    mailfs::detail::planted() = {o.planted, 0};
    fmt::print("{}", as_test(shorter, run(shorter).violation));
    mailfs::detail::planted() = {};
}

// Whether schedules of this kind of disks come there at all.
template <class What>
bool is_expected(schedule_size::stores stores, What what) {
    if constexpr (std::is_same_v<What, reached>)
        if (is_of_broken_slots(what)) return false;  // no schedule makes that mistake; unit tests do
    return is_of_shared_store(what) ? stores != schedule_size::stores::own : stores != schedule_size::stores::shared;
}
// False: some row or fault came less often than was asked for.
bool rows_are_hit(options const& o, campaign_result const& r) {
    auto const wanted = o.row_hits_min;
    bool all = true;
    auto const look = [&]<class What>(std::string_view what, What, auto const& names, auto const& counts) {
        for (std::size_t i = 0; i < counts.size(); ++i) {
            if (counts[i] >= wanted || !is_expected(o.campaign.size.store, static_cast<What>(i))) continue;
            fmt::print("{} {} came {} times, which is less than {}\n", what, names[i], counts[i], wanted);
            all = false;
        }
    };
    look("the row", reached{}, reached_names, r.reached);
    look("the deed", deed{}, deed_names, r.sums.deeds);
    for (std::size_t k = 0; k < power_cut_count; ++k) {
        if (r.sums.power_cuts[k] >= wanted) continue;
        fmt::print("the power cut {} came {} times, which is less than {}\n", power_cut_names[k], r.sums.power_cuts[k], wanted);
        all = false;
    }
    return all;
}

int run_schedules(options const& o) {
    fmt::print("sim.seed {}\n", o.campaign.seed);
    auto const r = run_with_bar(o.campaign, "schedules");
    print(r);
    if (r.first) print_failure(o.campaign, *r.first);
    return r.violations == 0 && rows_are_hit(o, r) ? 0 : 1;
}

int run_mutants(options const& o) {
    std::uint64_t killed = 0, total = 0;
    std::vector<std::uint64_t> needed;
    for (std::size_t m = 1; m < mutant_names.size(); ++m) {
        if (!o.mutants && std::find(o.mutant_names.begin(), o.mutant_names.end(), mutant_names[m]) == o.mutant_names.end()) continue;
        auto c = o.campaign;
        c.planted = static_cast<mutant>(m);
        if (mailfs::detail::is_of_shared_store(c.planted)) c.size.store = schedule_size::stores::shared;
        c.violations_max = 1;
        auto const r = run_with_bar(c, std::string(mutant_names[m]));
        ++total;
        if (r.first) {
            ++killed;
            needed.push_back(r.schedules);
            fmt::print("sim.mutant.{} {} # {}\n", mutant_names[m], r.schedules, r.first->violation);
        } else {
            fmt::print("sim.mutant.{} alive # after {} schedules; the code came there {} times\n", mutant_names[m], r.schedules, r.met);
        }
        std::fflush(stdout);
        if (r.first && !o.mutants && o.mutant_names.size() == 1) print_failure(c, *r.first);
    }
    std::sort(needed.begin(), needed.end());
    fmt::print("sim.mutants.killed {}\nsim.mutants.total {}\n", killed, total);
    if (!needed.empty()) fmt::print("sim.mutants.schedules_median {}\nsim.mutants.schedules_max {}\n", needed[needed.size() / 2], needed.back());
    if (!o.mutants && total != o.mutant_names.size()) fmt::print(stderr, "mailfs-sim: the list has no mutant of some of these names\n");
    return killed == total && (o.mutants || total == o.mutant_names.size()) ? 0 : 1;
}

int run_found() {
    std::uint64_t violations = 0;
    auto const all = found_schedules();
    for (auto const& f : all)
        if (auto const r = run(f.how); !r.violation.empty()) {
            ++violations;
            fmt::print("again: {}: {}\n", f.what, r.violation);
        }
    fmt::print("sim.found {}\nsim.violations {}\n", all.size(), violations);
    return violations == 0 ? 0 : 1;
}

int draw(options const& o) {
    auto s = make_schedule(o.campaign.seed, o.campaign.size);
    if (auto const found = run(s); !found.violation.empty()) s = shorten(s, found.rule, mutant::none);  // what matters alone
    trace_picture picture(s);
    auto const r = run(s, &picture);
    std::ofstream file(o.trace);
    if (!(file << picture.svg(r.violation)).flush()) {
        fmt::print(stderr, "mailfs-sim: cannot write {}\n", o.trace);
        return 1;
    }
    fmt::print("sim.trace_hash {:016x}\nsim.events {}\n", r.trace_hash, r.events);
    if (!r.violation.empty()) fmt::print("{}\n", r.violation);
    return r.violation.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    options o;
    auto const* const asked = std::getenv("MAILFS_SIM_SCHEDULES");
    if (asked != nullptr) o.campaign.schedules = std::strtoull(asked, nullptr, 10);
    CLI::App app("Runs simulated clusters, and prints one line `figure value` for each figure.", "mailfs-sim");
    app.add_option("--seed", o.campaign.seed, "The first schedule")->capture_default_str();
    app.add_flag("--fresh", o.fresh, "Seeds that nobody has seen yet; sim.seed says which is the first");
    app.add_option("--schedules", o.campaign.schedules, "How many; also MAILFS_SIM_SCHEDULES")->capture_default_str();
    app.add_option("--nodes", o.campaign.size.nodes, "How many nodes, 2 to 16; 0: 2 to 5, as the seed says")->check(CLI::Range(0U, 16U))->capture_default_str();
    app.add_option("--operations", o.campaign.size.operations, "About how many in each schedule")->capture_default_str();
    app.add_option("--faults", o.campaign.size.faults, "About how many in each schedule")->capture_default_str();
    std::map<std::string, schedule_size::stores> const stores{{"own", schedule_size::stores::own}, {"shared", schedule_size::stores::shared}, {"both", schedule_size::stores::both}};
    app.add_option("--store", o.campaign.size.store, "Disks of their own, a store that all reach, or what the seed says: own, shared, both")
        ->transform(CLI::CheckedTransformer(stores));
    app.add_option("--jobs", o.campaign.jobs, "Threads")->check(CLI::Range(1U, 64U))->capture_default_str();
    app.add_option("--violations", o.campaign.violations_max, "Go on until so many were found")->capture_default_str();
    app.add_option("--rows", o.row_hits_min, "Fail when a row of the protocol's tables, or a kind of fault, comes less often")->capture_default_str();
    app.add_flag("--mutants", o.mutants, "Plant each known error in turn");
    app.add_option("--mutant", o.mutant_names, "Plant this one, and show how it is found; or each of several");
    app.add_flag("--found", o.found, "Replay the schedules that found errors once");
    app.add_option("--trace", o.trace, "Draw the schedule of --seed into this file, as SVG");
    CLI11_PARSE(app, argc, argv);
    if (o.fresh) o.campaign.seed = std::uint64_t{std::random_device()()} << 24;
    if (o.campaign.size.nodes == 1) return (fmt::print(stderr, "mailfs-sim: one node shares nothing\n"), 2);
    if (o.found) return run_found();
    if (!o.trace.empty()) return draw(o);
    return o.mutants || !o.mutant_names.empty() ? run_mutants(o) : run_schedules(o);
}
