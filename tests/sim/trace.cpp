// SPDX-License-Identifier: BSL-1.0
#include "trace.hpp"

#include <mailfs/format/peer_frame.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <set>
#include <variant>

namespace mailfs::sim {

namespace {

/// What one parcel carries: the most telling of its messages gives the arrow its colour.
struct contents {
    std::string text;
    std::string_view colour = "#9aa5b1";
    int weight = 0;  // 0: nothing to draw

    void add(std::string_view word, std::string_view c, int w) {
        if (text.find(word) == text.npos) text += (text.empty() ? "" : " ") + std::string(word);
        if (w > weight) weight = w, colour = c;
    }
    void operator()(format::peer_hello const&) {}
    void operator()(format::peer_ping const&) {}
    void operator()(format::peer_pong const&) {}
    void operator()(format::peer_open const& m) { add(fmt::format("open {}", text_of(m.at)), "#7f8c9b", 2); }
    void operator()(format::peer_close const&) { add("close", "#7f8c9b", 3); }
    void operator()(format::peer_propose const&) { add("propose", "#1b7f3b", 4); }
    void operator()(format::peer_refuse const&) { add("refuse", "#b00020", 4); }
    void operator()(format::peer_push const& m) {
        for (auto const& s : m.steps) {
            if (s.kind == format::record_kind::fold) add("FOLD", "#e07b00", 9);
            if (s.kind == format::record_kind::epoch) add(fmt::format("epoch {}:{}", s.at.epoch >> 4, s.at.epoch & 15), "#1f4fa3", 7);
        }
        if (!m.steps.empty()) add(fmt::format("push {}", text_of(m.steps.back().at)), "#1f4fa3", 5);
        else add("push", "#9aa5b1", 1);
    }
    void operator()(format::peer_progress const& m) { add(m.down ? "commit" : "ack", "#9aa5b1", 1); }
    void operator()(format::peer_catch_up const& m) { add(fmt::format("catch up {}", text_of(m.from)), "#00838f", 4); }
    void operator()(format::peer_want_branch const&) { add("want branch", "#e07b00", 6); }
    void operator()(format::peer_snapshot const& m) { add(m.branch ? "branch" : "snapshot", m.branch ? "#e07b00" : "#7b1fa2", 6); }
    void operator()(format::peer_handover const&) { add("handover", "#c2185b", 8); }
    void operator()(format::peer_who const&) { add("who?", "#00838f", 3); }
    void operator()(format::peer_bodies const&) { add("bodies", "#7f8c9b", 2); }
    void operator()(format::peer_want_body const&) { add("want body", "#5f6b7a", 3); }
    void operator()(format::peer_body const& m) { add(m.offer ? "offer" : "body", "#5f6b7a", 4); }
    void operator()(format::peer_have_body const&) { add("have", "#5f6b7a", 3); }
    void operator()(format::peer_no_body const&) { add("no body", "#b00020", 3); }
};

contents read(bytes_view bytes) {
    contents out;
    try {
        format::frame_reader frames("trace");
        frames.feed(bytes);
        while (auto const f = frames.next()) std::visit(out, f->message);
    } catch (error const&) {  // it begins in the middle of a frame
    }
    return out;
}

std::string escaped(std::string_view text) {
    std::string out;
    for (char const c : text) {
        if (c == '<') out += "&lt;";
        else if (c == '&') out += "&amp;";
        else out += c;
    }
    return out;
}

constexpr std::array<std::string_view, 10> palette{"#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#d4a900", "#ff6fae", "#5f6b7a"};

}  // namespace

void trace_picture::mark(std::uint32_t node, sim_time when, std::string text, std::string_view colour) {
    of(node).labels.push_back({when, std::move(text), colour});
}

void trace_picture::send(sim_note const& n) {
    auto what = read(n.bytes);
    if (what.weight == 0) return;
    on_way_[n.detail] = messages_.size();
    messages_.push_back({n.when, 0, n.from, n.to, std::move(what.text), what.colour, what.weight <= 2});
}

void trace_picture::note(sim_note const& n) {
    last_ = std::max(last_, n.when);
    auto const way = std::pair(n.from, n.to);
    switch (n.what) {
        case sim_note::kind::sent: send(n); break;
        case sim_note::kind::arrived:
            if (auto const it = on_way_.find(n.detail); it != on_way_.end()) messages_[it->second].arrived = n.when;
            break;
        case sim_note::kind::cut: cut_since_.emplace(way, n.when); break;
        case sim_note::kind::healed:
            if (auto const it = cut_since_.find(way); it != cut_since_.end()) {
                stretches_.push_back({it->second, n.when, n.from, n.to, fmt::format("cut to {}", n.to)});
                cut_since_.erase(it);
            }
            break;
        case sim_note::kind::broken: mark(n.from, n.when, fmt::format("link to {} breaks", n.to), "#b00020"); break;
        case sim_note::kind::paused: of(n.from).paused_since = n.when; break;
        case sim_note::kind::resumed: stretches_.push_back({of(n.from).paused_since, n.when, n.from, 0, "paused"}); break;
        case sim_note::kind::other: {
            static constexpr std::array<std::string_view, 4> ends{"", "acknowledged", "refused", "outcome unknown"};
            if (n.to < ends.size() && n.to > 0) mark(n.from, n.when, fmt::format("change {} {}", n.detail, ends[n.to]), n.to == 1 ? "#1b7f3b" : "#b00020");
            break;
        }
        default: break;
    }
}

void trace_picture::state(sim_time when, std::uint32_t node, bool shows, bool master, position at) {
    last_ = std::max(last_, when);
    auto& l = of(node);
    auto const folds = mailfs::detail::reached_so_far()[static_cast<std::size_t>(mailfs::detail::reached::fold)];
    if (shows && master && (!l.master || l.epoch != at.epoch)) mark(node, when, fmt::format("MASTER of {}:{}", at.epoch >> 4, at.epoch & 15), "#1f4fa3");
    else if (shows && l.shows && l.epoch != at.epoch) mark(node, when, fmt::format("joins {}:{}", at.epoch >> 4, at.epoch & 15), "#1f4fa3");
    if (folds != folds_ && master) {
        mark(node, when, "FOLDS a branch in", "#e07b00");
        folds_ = folds;
    }
    l.epoch = at.epoch;
    l.shows = shows;
    l.master = master;
    l.states.push_back({when, true, shows, master, at});
}

void trace_picture::told(sim_time when, std::uint32_t node, std::string_view what) {
    last_ = std::max(last_, when);
    if (node == 0 || node > lanes_.size()) return;
    auto& l = of(node);
    if (what == "starts") l.states.push_back({when, true, false, false, {}});
    if (what == "is down") {
        l.states.push_back({when, false, false, false, {}});
        l.shows = l.master = false;
    }
    bool const plain = what == "starts" || what == "is down";
    mark(node, when, plain ? std::string(what) : "\u26a1 " + std::string(what), plain ? "#333" : "#b00020");
}

/// Lays time out from top to bottom: as much room as there is to tell, and little for the quiet in between.
class trace_drawing {
public:
    trace_drawing(trace_picture const& p, std::string const& violation) : p_(p), violation_(violation) {}

    std::string draw() {
        lay_out();
        for (std::size_t i = 0; i < p_.lanes_.size(); ++i) draw_lane(static_cast<std::uint32_t>(i + 1));
        for (auto const& s : p_.stretches_) draw_stretch(s);
        for (auto const& [way, since] : p_.cut_since_) draw_stretch({since, p_.last_, way.first, way.second, fmt::format("cut to {}", way.second)});
        for (auto const& m : p_.messages_) draw_message(m);
        for (std::size_t i = 0; i < p_.lanes_.size(); ++i) draw_labels(static_cast<std::uint32_t>(i + 1));
        draw_times();
        auto const width = x_of(static_cast<std::uint32_t>(p_.lanes_.size())) + 300;
        auto const height = y_.rbegin()->second + 60;
        return fmt::format(
            "<svg xmlns='http://www.w3.org/2000/svg' width='{0:.0f}' height='{1:.0f}' viewBox='0 0 {0:.0f} {1:.0f}' font-family='sans-serif' font-size='11'>\n"
            "<rect width='{0:.0f}' height='{1:.0f}' fill='white'/>\n"
            "<text x='20' y='24' font-size='15' font-weight='bold'>seed {2}: {3} nodes, {4} choices</text>\n"
            "<text x='20' y='42' fill='{5}'>{6}</text>\n{7}{8}{9}</svg>\n",
            width, height, p_.schedule_.seed, p_.schedule_.nodes, p_.schedule_.choices.size(), violation_.empty() ? "#1b7f3b" : "#b00020",
            violation_.empty() ? "no violation" : escaped(violation_), back_, middle_, front_);
    }

private:
    static constexpr double top = 100, left = 150, lane_gap = 330;
    static constexpr double row = 15;           // at least, from one label of a node to its next
    static constexpr double per_second = 120;   // where something happens
    static constexpr double quiet_max = 46;     // at most, where nothing does

    static double x_of(std::uint32_t node) { return left + (node - 1) * lane_gap; }
    double y_of(sim_time t) const {
        auto const after = y_.lower_bound(t);
        if (after == y_.end()) return y_.rbegin()->second;
        if (after->first == t || after == y_.begin()) return after->second;
        auto const before = std::prev(after);
        auto const share = static_cast<double>(t - before->first) / static_cast<double>(after->first - before->first);
        return before->second + share * (after->second - before->second);
    }
    static std::string_view colour_of(std::uint32_t epoch) { return palette[((epoch >> 4) * 3 + epoch % 16) % palette.size()]; }

    void lay_out() {
        std::map<sim_time, std::map<std::uint32_t, int>> told;  // what needs room at each moment: labels of nodes, and of messages
        for (std::size_t i = 0; i < p_.lanes_.size(); ++i)
            for (auto const& l : p_.lanes_[i].labels) ++told[l.when][static_cast<std::uint32_t>(i)];
        for (auto const& m : p_.messages_) {
            if (m.faint) continue;
            told[m.sent][m.to > m.from ? 100 + m.from : 200 + m.from] = 1;
            if (m.arrived != 0) told[m.arrived];
        }
        for (auto const& s : p_.stretches_) told[s.begin], told[s.end];
        told[0], told[p_.last_];
        std::map<std::uint32_t, double> free;  // where the next may stand
        double y = top;
        sim_time before = 0;
        for (auto const& [when, needs] : told) {
            if (when > 0) y += std::clamp(static_cast<double>(when - before) / 1e6 * per_second, 2.0, quiet_max);
            for (auto const& [what, count] : needs) y = std::max(y, free[what]);
            y_[when] = y;
            for (auto const& [what, count] : needs) free[what] = y + (what < 100 ? row : 11) * count;
            before = when;
        }
        y_[p_.last_ + 1] = y + 20;
    }

    void draw_lane(std::uint32_t node) {
        auto const& states = p_.lanes_[node - 1].states;
        auto const x = x_of(node);
        fmt::format_to(std::back_inserter(front_), "<text x='{}' y='{}' text-anchor='middle' font-size='14' font-weight='bold'>node {}</text>\n", x, top - 22, node);
        for (std::size_t i = 0; i < states.size(); ++i) {
            auto const& s = states[i];
            if (!s.up) continue;
            auto const end = i + 1 < states.size() ? states[i + 1].when : p_.last_;
            auto const style = !s.shows ? "stroke='#999' stroke-dasharray='2 4' stroke-width='2'" : fmt::format("stroke='{}' stroke-width='{}'", colour_of(s.at.epoch), s.master ? 9 : 4);
            fmt::format_to(std::back_inserter(middle_), "<line x1='{0}' y1='{1:.1f}' x2='{0}' y2='{2:.1f}' {3}><title>{4}</title></line>\n", x, y_of(s.when), y_of(end), style,
                           s.shows ? text_of(s.at) : "shows nothing");
        }
    }
    void draw_stretch(trace_picture::stretch const& s) {
        auto const y = y_of(s.begin), height = std::max(2.0, y_of(s.end) - y);
        if (s.other == 0) {
            fmt::format_to(std::back_inserter(back_), "<rect x='{}' y='{:.1f}' width='28' height='{:.1f}' fill='#ddd'/><text x='{}' y='{:.1f}' fill='#777' text-anchor='end'>{}</text>\n",
                           x_of(s.node) - 14, y, height, x_of(s.node) - 18, y + 10, s.text);
            return;
        }
        auto const side = s.other > s.node ? 1.0 : -1.0;
        auto const x = x_of(s.node) + side * (9 + 4.0 * std::abs(static_cast<double>(s.other) - static_cast<double>(s.node)));
        fmt::format_to(std::back_inserter(back_), "<line x1='{0:.1f}' y1='{1:.1f}' x2='{0:.1f}' y2='{2:.1f}' stroke='#d62728' stroke-width='3' stroke-opacity='0.55'><title>{3}</title></line>\n", x, y,
                       y + height, s.text);
        fmt::format_to(std::back_inserter(front_), "<text x='{:.1f}' y='{:.1f}' fill='#d62728' font-size='9' text-anchor='{}'>&#8603;{}</text>\n", x + side * 3, y + 4, side > 0 ? "start" : "end", s.other);
    }
    void draw_message(trace_picture::message const& m) {
        auto const x1 = x_of(m.from), y1 = y_of(m.sent);
        bool const lost = m.arrived == 0;
        auto const x2 = lost ? x1 + (x_of(m.to) - x1) * 0.25 : x_of(m.to), y2 = lost ? y1 + 6 : std::max(y_of(m.arrived), y1 + 4);
        auto const title = fmt::format("{} &#8594; {}: {}, {:.1f} ms", m.from, m.to, escaped(m.text), static_cast<double>(m.sent) / 1000);
        fmt::format_to(std::back_inserter(middle_), "<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' stroke='{}' stroke-opacity='{}' stroke-width='1.2'{}><title>{}</title></line>\n", x1, y1, x2, y2,
                       m.colour, m.faint ? 0.35 : 0.9, lost ? " stroke-dasharray='3 3'" : "", title);
        if (!lost) draw_head(x1, y1, x2, y2, m);
        if (lost) fmt::format_to(std::back_inserter(front_), "<text x='{:.1f}' y='{:.1f}' fill='#b00020' text-anchor='middle' font-size='10'>&#10005;</text>\n", x2, y2 + 4);
        if (m.faint || is_crowded(m)) return;
        auto const x = x1 + (x2 > x1 ? 185.0 : -90.0);
        auto const share = (x - x1) / (x2 - x1);
        if (share > 1 || share < 0) return;
        fmt::format_to(std::back_inserter(front_), "<text x='{:.1f}' y='{:.1f}' fill='{}' font-size='9' text-anchor='middle' stroke='white' stroke-width='2.5' paint-order='stroke'>{}</text>\n", x,
                       y1 + share * (y2 - y1) - 2, m.colour, escaped(m.text));
    }
    void draw_head(double x1, double y1, double x2, double y2, trace_picture::message const& m) {
        auto const length = std::max(1.0, std::hypot(x2 - x1, y2 - y1));
        auto const dx = (x2 - x1) / length * 7, dy = (y2 - y1) / length * 7;
        fmt::format_to(std::back_inserter(middle_), "<path d='M{:.1f} {:.1f} L{:.1f} {:.1f} L{:.1f} {:.1f} z' fill='{}' fill-opacity='{}'/>\n", x2, y2, x2 - dx - dy * 0.45, y2 - dy + dx * 0.45,
                       x2 - dx + dy * 0.45, y2 - dy - dx * 0.45, m.colour, m.faint ? 0.35 : 0.9);
    }
    // A label stands there already.
    bool is_crowded(trace_picture::message const& m) {
        auto& last = last_text_[{m.from, m.to > m.from}];
        auto const y = y_of(m.sent);
        if (y < last + 11) return true;
        last = y;
        return false;
    }
    void draw_labels(std::uint32_t node) {
        auto const x = x_of(node) + 10;
        double free = 0;
        for (auto const& l : p_.lanes_[node - 1].labels) {
            auto const y = std::max(y_of(l.when), free);
            free = y + row;
            fmt::format_to(std::back_inserter(front_), "<circle cx='{}' cy='{:.1f}' r='2.5' fill='{}'/><text x='{}' y='{:.1f}' fill='{}' stroke='white' stroke-width='3' paint-order='stroke'>{}</text>\n",
                           x - 10, y, l.colour, x, y + 4, l.colour, escaped(l.text));
        }
    }
    void draw_times() {
        double last = 0;
        for (auto const& [when, y] : y_) {
            if (y < last + 24) continue;
            last = y;
            fmt::format_to(std::back_inserter(front_), "<text x='62' y='{:.1f}' fill='#777' text-anchor='end' font-size='10'>{:.1f} ms</text>\n", y + 4, static_cast<double>(when) / 1000);
            fmt::format_to(std::back_inserter(back_), "<line x1='66' y1='{0:.1f}' x2='{1}' y2='{0:.1f}' stroke='#f0f0f0'/>\n", y, x_of(static_cast<std::uint32_t>(p_.lanes_.size())) + 280);
        }
    }

    trace_picture const& p_;
    std::string violation_;
    std::map<sim_time, double> y_;
    std::map<std::pair<std::uint32_t, bool>, double> last_text_;
    std::string back_, middle_, front_;
};

std::string trace_picture::svg(std::string const& violation) const { return trace_drawing(*this, violation).draw(); }

}  // namespace mailfs::sim
