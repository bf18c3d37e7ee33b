// SPDX-License-Identifier: BSL-1.0
// A log, of a mailbox or of a tree: header, records, and the damage between them.
#include "dump/kinds.hpp"
#include "dump/seed.hpp"

#include <mailfs/format/log_record.hpp>
#include <mailfs/format/replication_record.hpp>
#include <mailfs/types/uid.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace mailfsctl {
namespace {

namespace f = mailfs::format;
using mailfs::bytes_view;

bool lies_in(std::string_view path, std::string_view directory, std::size_t above) {
    for (; above > 0; --above) path = path.substr(0, path.rfind('/') == path.npos ? 0 : path.rfind('/'));
    auto const slash = path.rfind('/');
    return path.substr(slash == path.npos ? 0 : slash + 1) == directory;
}

/// By where it lies, or else by what most of its first transactions can be.
bool is_tree(bytes_view file, std::uint32_t seed, std::string_view path, std::string_view of) {
    if (of == "mailbox" || of == "tree") return of == "tree";
    if (lies_in(path, "tree", 1)) return true;
    if (lies_in(path, "box", 2)) return false;
    int tree = 0, mailbox = 0;
    for (std::size_t at = sizeof(f::log_header); at < file.size() && tree + mailbox < 64;) {
        at = f::find_record(file, at, seed);
        auto const record = f::decode_record(file.subspan(at), seed);
        if (!record) break;
        at += record->header.size;
        if (record->kind() != f::record_kind::transaction) continue;
        tree += is_of_tree(record->payload);
        mailbox += is_of_mailbox(record->payload);
    }
    return tree > mailbox;
}

void put_header(f::log_header const& h, dump_writer& out) {
    dump_entry e("header");
    e.text("version", fmt::format("{}.{}", std::uint16_t{h.major}, std::uint16_t{h.minor}))
        .id("object", f::get_guid(h.object));
    e.number("number", std::uint64_t{h.number}).time("created", h.created_ms).number("node", std::uint32_t{h.node});
    e.number("epoch", std::uint32_t{h.epoch}).number("n", std::uint32_t{h.n}).number("uid_next", std::uint32_t{h.next_id});
    e.number("seal_offset", std::uint32_t{h.seal_offset},
             h.seal_offset == 0 ? "" : fmt::format("the log before has its seal at {}", std::uint32_t{h.seal_offset}));
    e.id("boot", f::get_guid(h.boot)).text("chain", fmt::format("{:016x}", std::uint64_t{h.chain}));
    e.text("nonce", fmt::format("{:016x}", std::uint64_t{h.nonce}));
    if (h.features_required != 0) e.number("required", std::uint64_t{h.features_required});
    if (h.features_optional != 0) e.number("optional", std::uint64_t{h.features_optional});
    if (h.opens != 0) e.number("opens", std::uint32_t{h.opens});
    out.entry(0, e);
}

/// The seed for the records; nothing when nothing tells it.
std::optional<std::uint32_t> read_header(bytes_view file, dump_writer& out) {
    if (file.size() < sizeof(f::log_header)) {
        out.damage(0, file.size(), "ends inside the log header");
        return std::nullopt;
    }
    auto const h = f::load<f::log_header>(file);
    if (h.checksum == f::log_header_checksum(h)) {
        put_header(h, out);
        if (h.major > f::log_major) {
            out.damage(sizeof h, file.size(),
                       fmt::format("log format {}: a newer mailfs can read it", std::uint16_t{h.major}));
            return std::nullopt;
        }
        return f::record_seed(h.nonce);
    }
    out.damage(0, sizeof h, "the log header fails its checksum; what it says:");
    put_header(h, out);
    if (auto const seed = seed_told_by_records(file)) return seed;
    if (file.size() > sizeof h)
        out.damage(sizeof h, file.size(), "nothing tells records from other bytes without the header");
    return std::nullopt;
}

std::vector<dump_entry> ranges_of(bytes_view payload) {
    std::vector<dump_entry> out;
    for (; payload.size() >= sizeof(f::scar_range); payload = payload.subspan(sizeof(f::scar_range))) {
        auto const r = f::load<f::scar_range>(payload);
        dump_entry e("damaged");
        out.push_back(e.number("first", std::uint32_t{r.first}, fmt::format("{}", std::uint32_t{r.first}))
                          .number("end", std::uint32_t{r.last}, fmt::format("up to {}", std::uint32_t{r.last})));
    }
    return out;
}

dump_entry restart_of(bytes_view payload) {
    dump_entry e("boot");
    if (payload.size() < sizeof(f::restart_payload)) return e.say("cut short");
    auto const p = f::load<f::restart_payload>(payload);
    e.id("previous", f::get_guid(p.previous)).id("boot", f::get_guid(p.boot));
    return e.number("void_from", std::uint32_t{p.void_from}).number("margin", std::uint32_t{p.margin});
}

dump_entry epoch_of(bytes_view payload) {
    dump_entry e("reign");
    auto const start = f::decode_epoch_start(payload);
    if (!start) return e.say("makes no sense");
    e.number("epoch", start->epoch).number("node", start->owner.node).number("ids_first", start->ids_first);
    return e.number("ids_last", start->ids_last).number("id_next", start->id_next);
}
dump_entry ids_of(bytes_view payload) {
    dump_entry e("reserved");
    auto const ids = f::decode_ids(payload);
    return ids ? e.number("first", ids->first).number("last", ids->last) : e.say("makes no sense");
}

// Where its writer stood; in a log that nodes share, the step's own place.
void put_base(f::record_header const& h, bool shared, dump_entry& e) {
    if (shared) {
        e.number("epoch", std::uint32_t{h.base_offset}).number("n", std::uint32_t{h.base_n});
        return;
    }
    e.number("base_offset", std::uint32_t{h.base_offset}, fmt::format("read up to {}", std::uint32_t{h.base_offset}));
    e.number("base_uid_next", std::uint32_t{h.base_next_id}, fmt::format("uid_next {}", std::uint32_t{h.base_next_id}));
    e.number("base_n", std::uint32_t{h.base_n}, fmt::format("n {}", std::uint32_t{h.base_n}))
        .number("synced", std::uint32_t{h.synced});
}

void put_record(f::record_view const& r, std::uint64_t at, bool tree, bool shared, dump_writer& out) {
    constexpr std::string_view names[] = {"", "transaction", "seal", "scar", "restart", "epoch", "ids", "fold", "settle"};
    auto const& h = r.header;
    bool const known = h.kind < std::size(names);
    dump_entry e(known ? names[h.kind] : "record");
    if (!known) e.number("kind", h.kind);
    e.number("size", std::uint32_t{h.size}, counted(h.size, "byte"));
    if (r.kind() == f::record_kind::transaction) {
        e.time("time", r.stamp().milliseconds())
            .number("tick", h.stamp & 0xffff, (h.stamp & 0xffff) == 0 ? "" : fmt::format("tick {}", h.stamp & 0xffff));
        e.text("origin",
               fmt::format("{}/{:016x}/{}", std::uint32_t{h.node}, std::uint64_t{h.incarnation}, std::uint64_t{h.counter}));
    }
    put_base(h, shared, e);
    switch (r.kind()) {
        case f::record_kind::transaction:
            e.children("operations", tree ? tree_operations(r.payload) : mailbox_operations(r.payload));
            break;
        case f::record_kind::scar: e.children("ranges", ranges_of(r.payload)); break;
        case f::record_kind::restart: e.children("restart", {restart_of(r.payload)}); break;
        case f::record_kind::epoch: e.children("start", {epoch_of(r.payload)}); break;
        case f::record_kind::ids: e.children("ids", {ids_of(r.payload)}); break;
        case f::record_kind::seal:
        case f::record_kind::fold:
        case f::record_kind::settle: break;
    }
    out.entry(at, e);
}

}  // namespace

void dump_log(bytes_view file, std::string_view of, dump_writer& out) {
    auto const header = file.size() >= sizeof(f::log_header) ? f::load<f::log_header>(file) : f::log_header{};
    bool const sound = file.size() >= sizeof header && header.checksum == f::log_header_checksum(header);
    auto const guess = sound ? std::optional(f::record_seed(header.nonce)) : seed_told_by_records(file);
    bool const tree = is_tree(file, guess.value_or(0), out.file(), of);
    out.title(tree ? "log of a mailbox tree" : "log of a mailbox", file.size());
    auto const seed = read_header(file, out);
    if (!seed) return;
    bool const shared = sound && (header.features_required & (f::log_feature_replicated | f::log_feature_shared)) != 0;
    for (std::size_t at = sizeof header; at < file.size();) {
        if (auto const record = f::decode_record(file.subspan(at), *seed)) {
            put_record(*record, at, tree, shared, out);
            at += record->header.size;
            continue;
        }
        auto const next = f::find_record(file, at + 1, *seed);
        bool const torn = f::is_torn(file.subspan(at, next - at), *seed);
        out.damage(at, next,
                   next == file.size()
                       ? torn ? "the head of a record: being written, or cut" : "no record, to the end of the file"
                   : torn ? "the head of a record whose writer was killed"
                          : "no record");
        at = next;
    }
}

}  // namespace mailfsctl
