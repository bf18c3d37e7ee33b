// SPDX-License-Identifier: BSL-1.0
// Mail bodies compressed by zstd (RFC 8878). Needs libzstd: link with -lzstd.
//
//     store<index<lockless_log, posix_fs>> mail(fs, {.dbox = {.compression = zstd_compression()}});
#pragma once

#include <mailfs/dbox/body_compression.hpp>
#include <mailfs/error.hpp>

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace mailfs {

struct zstd_options {
    int level = 3;                ///< 1 to 19: from fast to small
    bool packs = true;            ///< false: what is compressed is read, and new bodies stay as they are
    std::size_t size_min = 256;   ///< bytes; shorter bodies stay as they are
    std::vector<std::byte> dictionary{};  ///< as `zstd --train` makes it: for short mail. It must be kept as long as there is mail that was compressed with it
    std::vector<std::vector<std::byte>> older_dictionaries{};  ///< to read with
};

namespace detail {

struct zstd_delete {
    void operator()(ZSTD_CCtx* p) const noexcept { ZSTD_freeCCtx(p); }
    void operator()(ZSTD_DCtx* p) const noexcept { ZSTD_freeDCtx(p); }
    void operator()(ZSTD_CDict* p) const noexcept { ZSTD_freeCDict(p); }
    void operator()(ZSTD_DDict* p) const noexcept { ZSTD_freeDDict(p); }
};
template <class T>
using zstd_owned = std::unique_ptr<T, zstd_delete>;
template <class T>
zstd_owned<T> zstd_own(T* made) {
    if (made == nullptr) throw std::bad_alloc();
    return zstd_owned<T>(made);
}
template <class T>
zstd_owned<T> zstd_dictionary(T* made) {
    if (made == nullptr) throw error(errc::corrupt, "zstd dictionary", 0, "the dictionary is damaged");
    return zstd_owned<T>(made);
}

using zstd_dictionaries = std::map<unsigned, zstd_owned<ZSTD_DDict>>;

class zstd_unpacker final : public body_unpacker {
public:
    explicit zstd_unpacker(std::shared_ptr<zstd_dictionaries const> known) : known_(std::move(known)), context_(take()) {
        ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_and_parameters);
        ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_max);
    }
    zstd_unpacker(zstd_unpacker const&) = delete;
    zstd_unpacker& operator=(zstd_unpacker const&) = delete;
    ~zstd_unpacker() override {
        if (context_ && !idle_gone() && idle().count < idle_max) idle().contexts[idle().count++] = std::move(context_);
    }

    std::optional<dbox_fault> unpack(bytes_view& stored, std::span<std::byte>& room) override {
        if (!begun_ && stored.empty()) return std::nullopt;
        if (!begun_ && !choose_dictionary(stored)) return dbox_fault{errc::not_supported, "the body is compressed with a dictionary that was not given"};
        begun_ = true;
        for (;;) {
            ZSTD_inBuffer in{stored.data(), stored.size(), 0};
            ZSTD_outBuffer out{room.data(), room.size(), 0};
            if (ZSTD_isError(ZSTD_decompressStream(context_.get(), &out, &in))) return dbox_fault{errc::corrupt, "the compressed body is damaged"};
            stored = stored.subspan(in.pos);
            room = room.subspan(out.pos);
            if (in.pos == 0 && out.pos == 0) return std::nullopt;
            if (stored.empty() && room.empty()) return std::nullopt;
        }
    }

private:
    static constexpr int window_log_max = 24;  // level 19 wants 8 MiB
    static constexpr std::size_t idle_max = 4;

    bool choose_dictionary(bytes_view stored) {
        auto const id = ZSTD_getDictID_fromFrame(stored.data(), stored.size());
        if (id == 0) return true;
        auto const it = known_->find(id);
        return it != known_->end() && !ZSTD_isError(ZSTD_DCtx_refDDict(context_.get(), it->second.get()));
    }

    // Making one costs more than a short body does. A coroutine may be destroyed when its thread has let them go.
    struct idle_contexts {
        std::array<zstd_owned<ZSTD_DCtx>, idle_max> contexts;
        std::size_t count = 0;
        ~idle_contexts() { idle_gone() = true; }
    };
    static bool& idle_gone() noexcept {
        static thread_local bool gone = false;
        return gone;
    }
    static idle_contexts& idle() noexcept {
        static thread_local idle_contexts here;
        return here;
    }
    static zstd_owned<ZSTD_DCtx> take() {
        if (idle_gone() || idle().count == 0) return zstd_own(ZSTD_createDCtx());
        return std::move(idle().contexts[--idle().count]);
    }

    std::shared_ptr<zstd_dictionaries const> known_;
    zstd_owned<ZSTD_DCtx> context_;
    bool begun_ = false;
};

class zstd_bodies final : public body_compression {
public:
    explicit zstd_bodies(zstd_options const& o) : level_(std::clamp(o.level, 1, 19)), packs_(o.packs), size_min_(std::max<std::size_t>(o.size_min, 1)) {
        auto known = std::make_shared<zstd_dictionaries>();
        for (auto const& older : o.older_dictionaries) add(*known, older);
        if (!o.dictionary.empty()) {
            add(*known, o.dictionary);
            dictionary_ = zstd_dictionary(ZSTD_createCDict(o.dictionary.data(), o.dictionary.size(), level_));
        }
        known_ = std::move(known);
    }

    dbox_compression kind() const noexcept override { return dbox_compression::zstd; }
    bool packs() const noexcept override { return packs_; }

    std::vector<std::byte> pack(bytes_view body) const override {
        if (body.size() < size_min_) return {};
        std::vector<std::byte> packed(body.size() - std::max<std::size_t>(body.size() / 16, 1));
        ZSTD_outBuffer out{packed.data(), packed.size(), 0};
        auto* const context = begin(body.size());
        std::size_t from = 0;
        for (auto const end : block_ends) {
            if (end >= body.size()) break;
            if (!run(context, out, body.subspan(from, end - from), ZSTD_e_flush)) return {};
            from = end;
        }
        if (!run(context, out, body.subspan(from), ZSTD_e_end)) return {};
        packed.resize(out.pos);
        return packed;
    }
    bool reads(bytes_view stored) const noexcept override {
        auto const id = ZSTD_getDictID_fromFrame(stored.data(), stored.size());
        return id == 0 || known_->contains(id);
    }
    std::unique_ptr<body_unpacker> unpacker() const override { return std::make_unique<zstd_unpacker>(known_); }

private:
    // So that who wants a header need not read beyond it: what a fetch of headers reads first, and then.
    static constexpr std::array<std::size_t, 2> block_ends{8192, 32768};

    static void add(zstd_dictionaries& known, bytes_view dictionary) {
        auto const id = ZSTD_getDictID_fromDict(dictionary.data(), dictionary.size());
        if (id == 0) throw error(errc::corrupt, "zstd dictionary", 0, "not a dictionary as zstd --train makes it");
        known.insert_or_assign(id, zstd_dictionary(ZSTD_createDDict(dictionary.data(), dictionary.size())));
    }

    ZSTD_CCtx* begin(std::size_t size) const {
        static thread_local auto const here = zstd_own(ZSTD_createCCtx());
        auto* const context = here.get();
        ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level_);
        ZSTD_CCtx_setPledgedSrcSize(context, size);
        if (dictionary_) ZSTD_CCtx_refCDict(context, dictionary_.get());
        return context;
    }
    // False: it does not fit.
    static bool run(ZSTD_CCtx* context, ZSTD_outBuffer& out, bytes_view part, ZSTD_EndDirective how) {
        ZSTD_inBuffer in{part.data(), part.size(), 0};
        auto const left = ZSTD_compressStream2(context, &out, &in, how);
        if (ZSTD_isError(left) && ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) throw std::bad_alloc();
        return left == 0 && in.pos == in.size;
    }

    int level_;
    bool packs_;
    std::size_t size_min_;
    zstd_owned<ZSTD_CDict> dictionary_;
    std::shared_ptr<zstd_dictionaries const> known_;
};

}  // namespace detail

/// For dbox_options::compression. Throws corrupt for bytes that are no dictionary. Bodies grow by nothing: one that would not shrink
/// by a sixteenth stays as it is. Costs the thread that writes about 3 ms for each MiB at level 3, and reading 1 ms.
inline std::shared_ptr<body_compression const> zstd_compression(zstd_options const& options = {}) {
    return std::make_shared<detail::zstd_bodies>(options);
}

}  // namespace mailfs
