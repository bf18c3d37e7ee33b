// SPDX-License-Identifier: BSL-1.0
// A schedule as a space-time diagram: nodes as lines in the colour of their epoch, messages as arrows, faults where they hit.
#pragma once

#include <mailfs/replication/detail/coverage.hpp>

#include "schedule.hpp"
#include "simulation.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailfs::sim {

class trace_picture final : public run_observer {
public:
    explicit trace_picture(schedule const& s) : schedule_(s), lanes_(s.nodes), folds_(mailfs::detail::reached_so_far()[static_cast<std::size_t>(mailfs::detail::reached::fold)]) {}

    void note(sim_note const& n) override;
    void state(sim_time when, std::uint32_t node, bool shows, bool master, position at) override;
    void told(sim_time when, std::uint32_t node, std::string_view what) override;

    std::string svg(std::string const& violation) const;

private:
    friend class trace_drawing;
    struct standing {
        sim_time when;
        bool up, shows, master;
        position at;
    };
    struct label {
        sim_time when;
        std::string text;
        std::string_view colour;
    };
    struct message {
        sim_time sent, arrived;  // arrived 0: never
        std::uint32_t from, to;
        std::string text;
        std::string_view colour;
        bool faint;
    };
    struct stretch {
        sim_time begin, end;
        std::uint32_t node, other;  // other 0: of one node
        std::string text;
    };
    struct lane {
        std::vector<standing> states;
        std::vector<label> labels;
        std::uint32_t epoch = 0;
        bool up = false, shows = false, master = false;
        sim_time paused_since = 0;
    };
    lane& of(std::uint32_t node) { return lanes_[(node - 1) % lanes_.size()]; }
    void send(sim_note const& n);
    void mark(std::uint32_t node, sim_time when, std::string text, std::string_view colour = "#333");

    schedule schedule_;
    std::vector<lane> lanes_;
    std::vector<message> messages_;
    std::map<std::uint64_t, std::size_t> on_way_;  // numbers of parcels
    std::map<std::pair<std::uint32_t, std::uint32_t>, sim_time> cut_since_;
    std::vector<stretch> stretches_;
    std::uint64_t folds_ = 0;
    sim_time last_ = 0;
};

}  // namespace mailfs::sim
