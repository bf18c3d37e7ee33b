// SPDX-License-Identifier: BSL-1.0
#include "found.hpp"

#include <utility>

namespace mailfs::sim {

namespace {

// The members before clock_offset_ms, then the choices: at ms, what, node, other, argument, for ms.
schedule of(std::uint64_t seed, std::uint32_t nodes, std::uint32_t length_ms, std::vector<choice> choices, std::uint32_t clients = 1) {
    schedule s;
    s.seed = seed;
    s.nodes = nodes;
    s.clients = clients;
    s.length_ms = length_ms;
    s.choices = std::move(choices);
    return s;
}
schedule with_copies(schedule s, std::uint32_t in_memory, std::uint32_t on_disk) {
    s.copies_in_memory = in_memory;
    s.copies_on_disk = on_disk;
    return s;
}
schedule with_tuning(schedule s, tuning t) {
    s.tuned = t;
    return s;
}
schedule with_clocks(schedule s, std::uint32_t offset_ms, std::uint32_t drift_ppm) {
    s.clock_offset_ms = offset_ms;
    s.clock_drift_ppm = drift_ppm;
    return s;
}
schedule with_store(schedule s, std::uint32_t ids_reserved, std::uint32_t late_ms) {
    s.store = storage::shared;
    s.ids_reserved = ids_reserved;
    s.late_ms = late_ms;
    return s;
}

}  // namespace

std::vector<found_schedule> found_schedules() {
    return {
        {"a restarted node with the higher epoch waited two seconds for a peer that it did not need",
         of(3, 4, 2914, {{1000, deed::append, 2, 0, 4, 0}, {1129, deed::isolate, 4, 2, 15, 1226}, {1913, deed::add_flag, 2, 0, 93, 0},
                         {2913, deed::crash, 4, 2, 69, 554}})},
        {"a member thought that it had caught up with one whom it had just begun to follow",
         of(3, 4, 3861, {{1000, deed::append, 2, 0, 96, 0}, {1116, deed::replace_flags, 2, 0, 64, 0}, {1628, deed::pause, 1, 4, 62, 1573},
                         {2258, deed::isolate, 3, 1, 95, 683}, {2462, deed::flap, 4, 1, 87, 1916}, {3462, deed::flap, 2, 1, 58, 1488}})},
        {"a master that stepped down took a state whose UIDNEXT was lower than what it had shown",
         of(9, 2, 1106, {{1000, deed::crash, 2, 1, 10, 23}, {1091, deed::crash, 1, 2, 84, 6}, {1105, deed::stall, 1, 2, 63, 32}})},
        {"who became master did not order what its own callers waited for",
         of(10, 2, 9730, {{2714, deed::break_links, 1, 2, 3, 114}, {3435, deed::long_pause, 1, 2, 30, 11370}})},
        {"a new master did not look at branches until something else happened",
         of(126, 3, 2607, {{461, deed::crash, 1, 3, 10, 176}, {543, deed::power_cut, 2, 3, 9, 30}, {989, deed::crash, 2, 3, 28, 31},
                           {1007, deed::append, 3, 0, 10, 0}, {1027, deed::long_pause, 3, 2, 58, 2934}, {1188, deed::remove_keyword, 1, 0, 39, 0},
                           {1606, deed::long_pause, 1, 2, 32, 1305}, {2606, deed::crash, 2, 3, 40, 96}})},
        {"a branch was asked for before it knew that the asker stands higher, and neither asked again",
         of(154, 2, 2493, {{1000, deed::append, 2, 0, 78, 0}, {1268, deed::isolate, 2, 1, 66, 1688}, {1341, deed::sync_fails, 2, 1, 73, 872},
                           {2341, deed::sync_fails, 1, 2, 25, 891}, {2383, deed::remove_flag, 1, 0, 47, 0}, {2487, deed::add_keyword, 2, 0, 79, 0},
                           {2492, deed::add_flag, 1, 0, 60, 0}})},
        {"a fold whose changes had equal stamps was refused by those that were to apply it, and ordered again without end",
         with_clocks(of(6287, 3, 3317,
                        {{81, deed::clock_stands, 1, 3, 30, 6258},   {191, deed::append, 1, 0, 6, 0},           {245, deed::append, 1, 0, 14, 0},
                         {286, deed::expunge, 1, 0, 88, 0},          {334, deed::append, 1, 0, 33, 0},          {523, deed::append_stored, 1, 0, 4, 0},
                         {530, deed::append, 1, 0, 0, 0},            {580, deed::expunge, 1, 0, 95, 0},         {641, deed::long_pause, 3, 1, 20, 2584},
                         {709, deed::append, 1, 0, 1, 0},            {744, deed::append, 1, 0, 35, 0},          {752, deed::append, 1, 0, 1, 0},
                         {1026, deed::append_stored, 4, 0, 23, 0},   {1218, deed::append, 4, 0, 0, 0},          {1507, deed::append_stored, 1, 0, 65, 0},
                         {1627, deed::append, 2, 0, 41, 0},          {1691, deed::expunge, 1, 0, 37, 0},        {1915, deed::expunge, 1, 0, 38, 0},
                         {2143, deed::append_stored, 1, 0, 28, 0},   {2224, deed::append_stored, 1, 0, 80, 0},  {2470, deed::append, 1, 0, 16, 0},
                         {2939, deed::append, 1, 0, 4, 0},           {2957, deed::expunge, 1, 0, 73, 0},        {3188, deed::expunge, 1, 0, 57, 0},
                         {3196, deed::conditional, 1, 0, 4107232039, 0}, {3249, deed::append_stored, 1, 0, 90, 0}, {3316, deed::add_flag, 1, 0, 152346555, 0}}),
                     3'600'000, 0)},
        {"a session on a node that was master of an empty epoch missed what the others had changed below it",
         of(108595, 5, 5754, {{425, deed::append, 5, 0, 52, 0}, {534, deed::pause, 1, 3, 40, 901}, {868, deed::isolate, 5, 4, 4, 2525},
                              {1229, deed::look, 4, 0, 28, 0}, {2229, deed::add_flag, 3, 0, 48, 0}, {2355, deed::long_pause, 2, 1, 46, 868}}, 6)},
        {"a node whose disk failed twice forgot which UIDs it had shown before the first time",
         with_clocks(with_copies(of(1016066, 4, 4203,
                                    {{345, deed::append_stored, 4, 0, 97, 0}, {365, deed::append_stored, 1, 0, 77, 0}, {410, deed::expunge, 4, 0, 12, 0},
                                     {1476, deed::cut, 2, 4, 87, 160},        {1483, deed::disk_full, 1, 2, 14, 86},   {1487, deed::append_fails, 4, 2, 2, 193},
                                     {1491, deed::expunge, 3, 0, 71, 0},      {1498, deed::append_fails, 3, 2, 48, 32}, {1549, deed::append_fails, 3, 2, 85, 34},
                                     {1554, deed::append_fails, 2, 4, 43, 47}, {1570, deed::append_fails, 4, 1, 453182162, 32}, {1573, deed::append, 4, 0, 75, 0},
                                     {1578, deed::append, 2, 0, 29, 0},       {1607, deed::isolate, 4, 1, 24, 105},    {1607, deed::append_fails, 1, 2, 26, 24},
                                     {1639, deed::isolate, 4, 1, 35, 245},    {2345, deed::append_stored, 2, 0, 43, 0}, {3315, deed::set_metadata, 3, 0, 11, 0}}), 2, 3),
                     0, 10'000)},
        {"a member that had moved from a relay to the master itself was not counted, and less than what was asked for was acknowledged",
         with_tuning(with_copies(with_clocks(of(394, 3, 11355, {{65, deed::append, 1, 0, 74, 0}, {67, deed::append, 1, 0, 8, 0}, {160, deed::append, 3, 0, 29, 0},
                                                                {276, deed::expunge_stored, 1, 0, 26, 0}, {305, deed::remove_flag, 3, 0, 43, 0},
                                                                {359, deed::append, 3, 0, 46, 0}, {420, deed::append, 3, 0, 22, 0}, {10587, deed::isolate, 3, 2, 40, 1014}}),
                                             0, 10'000),
                                 2, 3),
                     {10'000, 20, 346, 5000, 6724})},
        {"a member that followed its master again after a broken link was not counted until something happened",
         with_tuning(of(14655449290768621, 2, 2406, {{1000, deed::append, 1, 0, 59, 0}, {1049, deed::append, 2, 0, 48, 0}, {1166, deed::crash_in_call, 2, 1, 30, 19},
                                                     {1211, deed::conditional, 2, 0, 84, 0}, {1277, deed::append, 1, 0, 81, 0}, {1285, deed::expunge_stored, 1, 0, 94, 0},
                                                     {1329, deed::expunge, 2, 0, 69, 0}, {1362, deed::add_keyword, 2, 0, 3, 0}, {1405, deed::add_keyword, 2, 0, 37, 0},
                                                     {2405, deed::break_links, 2, 1, 13, 18}}),
                     {10'000, 20, 376, 5000, 6609})},
        {"a node that had used up its reserved UIDs served after a power cut from below the MODSEQ that it had shown",
         with_copies(of(2002732, 4, 1155, {{932, deed::append_many, 4, 0, 70, 0}, {1032, deed::clog, 1, 2, 50, 38}, {1036, deed::append_many, 4, 0, 43, 0},
                                           {1058, deed::append_stored, 2, 0, 35, 0}, {1065, deed::append_many, 3, 0, 12, 0},
                                           {1072, deed::slow_way, 1, 4, 2519579759, 26}, {1152, deed::add_keyword, 3, 0, 16, 0},
                                           {1154, deed::power_cut, 3, 2, 0, 22}}, 1),
                     2, 1)},
        {"a master whose disk failed under a step that reserves UIDs gave that step's place to another, and was started again with the first",
         with_tuning(of(3000699, 3, 451,
                       {{168, deed::set_metadata, 1, 0, 2553916112, 0}, {173, deed::set_metadata, 1, 0, 1968769984, 0},
                        {210, deed::append_stored, 2, 0, 3327456039, 0}, {212, deed::append, 1, 0, 3261588534, 0},
                        {214, deed::set_metadata, 2, 0, 1034985409, 0}, {219, deed::expunge_stored, 2, 0, 2604862645, 0},
                        {221, deed::expunge_stored, 1, 0, 2001090755, 0}, {225, deed::set_metadata, 1, 0, 516451426, 0},
                        {242, deed::append, 1, 0, 2687608614, 0}, {244, deed::set_metadata, 3, 0, 1410508293, 0},
                        {256, deed::add_flag, 1, 0, 1237880687, 0}, {262, deed::remove_keyword, 3, 0, 3507754313, 0},
                        {277, deed::remove_keyword, 1, 0, 1758768879, 0}, {286, deed::replace_flags, 2, 0, 976825380, 0},
                        {286, deed::cut_one_way, 1, 2, 2261269507, 77}, {289, deed::set_metadata, 2, 0, 4141746146, 0},
                        {291, deed::set_metadata, 2, 0, 2617378736, 0}, {295, deed::append, 1, 0, 4039954952, 0},
                        {297, deed::cut_one_way, 1, 3, 2023858061, 21}, {310, deed::append_stored, 2, 0, 3540160491, 0},
                        {314, deed::append_many, 2, 0, 1404935142, 0}, {320, deed::remove_keyword, 2, 0, 3831068025, 0},
                        {324, deed::remove_keyword, 2, 0, 1429024634, 0}, {327, deed::append_stored, 3, 0, 2726242590, 0},
                        {330, deed::expunge, 2, 0, 2667633761, 0}, {333, deed::set_metadata, 3, 0, 4034941774, 0},
                        {334, deed::flap, 2, 3, 3102920260, 110}, {338, deed::append, 3, 0, 2303836718, 0},
                        {338, deed::remove_keyword, 2, 0, 1656551463, 0}, {341, deed::expunge, 1, 0, 2106672813, 0},
                        {343, deed::set_metadata, 1, 0, 3245763854, 0}, {349, deed::expunge, 1, 0, 3165040860, 0},
                        {350, deed::cut_one_way, 2, 3, 3328400333, 83}, {350, deed::cut_one_way, 3, 1, 2435904959, 3},
                        {355, deed::add_flag, 1, 0, 1004421842, 0}, {358, deed::set_metadata, 3, 0, 1281497038, 0},
                        {358, deed::remove_flag, 1, 0, 3370440152, 0}, {358, deed::cut_one_way, 3, 1, 934483536, 36},
                        {361, deed::sync_fails, 1, 3, 3723868148, 34}, {373, deed::flap, 1, 2, 1878290519, 112},
                        {375, deed::cut_one_way, 3, 2, 2696373238, 44}, {387, deed::cut_one_way, 2, 1, 544374459, 47},
                        {395, deed::flap, 1, 3, 517563429, 86}, {397, deed::sync_fails, 2, 3, 2017673740, 64},
                        {398, deed::append_many, 1, 0, 2076596880, 0}, {425, deed::crash, 2, 1, 2505738268, 79},
                        {441, deed::pause, 1, 2, 790383189, 68}, {450, deed::crash, 1, 2, 1911773329, 76}}),
                     {1154, 11, 103, 5000, 4863, 780})},
        {"a claim that was given up for a master landed when the next had begun, and brought back the state of its own time",
         with_store(with_clocks(of(777970, 3, 21012, {{331, deed::append_stored, 1, 0, 1, 0}, {361, deed::conditional, 1, 0, 76, 0},
                                     {530, deed::replace_flags, 3, 0, 2, 0}, {533, deed::flap, 1, 2, 81, 1232}, {657, deed::expunge, 2, 0, 74, 0},
                                     {1031, deed::store_late, 1, 2, 2262915610, 877}, {1085, deed::append_stored, 3, 0, 79, 0},
                                     {1129, deed::append, 3, 0, 5, 0}, {1598, deed::cut, 1, 3, 52, 794}, {1699, deed::flap, 1, 3, 82, 553},
                                     {2021, deed::append_stored, 3, 0, 2, 0}, {2024, deed::cut, 3, 2, 7, 791},
                                     {2554, deed::replace_flags, 2, 0, 76, 0}, {2802, deed::expunge_stored, 1, 0, 22, 0},
                                     {2987, deed::expunge_stored, 1, 0, 3, 0}, {3417, deed::replace_flags, 3, 0, 59, 0},
                                     {4361, deed::replace_flags, 2, 0, 62, 0}, {6292, deed::remove_keyword, 1, 0, 50, 0},
                                     {6614, deed::replace_flags, 2, 0, 22, 0}, {7547, deed::add_flag, 3, 0, 95, 0},
                                     {7851, deed::conditional, 3, 0, 62, 0}, {8067, deed::append, 2, 0, 78, 0},
                                     {8610, deed::expunge_stored, 3, 0, 71, 0}, {8759, deed::deliver, 3, 0, 33, 0},
                                     {8891, deed::cut_one_way, 1, 2, 69, 1818}, {9205, deed::append_stored, 2, 0, 99, 0},
                                     {9330, deed::append_stored, 2, 0, 1, 0}, {9358, deed::deliver, 3, 0, 94, 0}, {10582, deed::cut, 1, 3, 69, 910},
                                     {10605, deed::store_late, 1, 2, 1793250611, 315}, {10812, deed::append_stored, 1, 0, 97, 0},
                                     {10870, deed::append_stored, 2, 0, 3, 0}}),
                                0, 10'000),
                    50, 3062)},
        {"what waited for a master that had to fold was ordered before the fold, which then changed MODSEQs that had been shown",
         with_copies(with_clocks(of(3016772, 3, 4161, {{524, deed::long_pause, 3, 2, 36, 3157}, {2633, deed::append, 1, 0, 69, 0}, {2709, deed::break_links, 1, 3, 46, 58},
                                                       {3827, deed::slow_disk, 3, 1, 2103846819, 120}, {3914, deed::append, 3, 0, 70, 0},
                                                       {4160, deed::conditional, 3, 0, 52, 0}}),
                                 0, 10'000),
                     2, 3)},
        {"what a log held that was read and not yet synced when the power was cut: nobody had heard of it, and the check was wrong",
         with_copies(of(100663960, 2, 200201, {{199535, deed::newer_node, 1, 2, 13, 29}, {199543, deed::crash_in_call, 2, 1, 1, 38},
                                               {199968, deed::append, 2, 0, 45, 0}, {199973, deed::conditional, 2, 0, 49, 0},
                                               {199991, deed::remove_keyword, 2, 0, 73, 0}, {199996, deed::set_metadata, 2, 0, 74, 0},
                                               {200004, deed::replace_flags, 2, 0, 15, 0}, {200014, deed::set_metadata, 1, 0, 30, 0},
                                               {200015, deed::conditional, 2, 0, 87, 0}, {200085, deed::conditional, 2, 0, 15, 0},
                                               {200117, deed::break_links, 2, 1, 8, 13}, {200119, deed::power_cut, 2, 1, 27, 4},
                                               {200143, deed::add_flag, 2, 0, 48, 0}, {200144, deed::crash, 2, 1, 12, 2},
                                               {200149, deed::slow_disk, 1, 2, 3264694043, 48}, {200164, deed::crash, 1, 2, 29, 13},
                                               {200200, deed::power_cut, 1, 2, 2900502129, 6}}),
                     1, 2)},
        {"whoever became master counted nobody but itself in its first moment, and acknowledged with one copy what was to have four",
         with_tuning(with_copies(of(100724120, 4, 2002,
                                    {{826, deed::append, 4, 0, 2, 0}, {845, deed::expunge, 4, 0, 56, 0}, {861, deed::deliver, 4, 0, 6, 0},
                              {866, deed::conditional, 4, 0, 91, 0}, {869, deed::deliver, 4, 0, 1309067151, 0},
                              {873, deed::append, 4, 0, 31, 0}, {902, deed::append, 4, 0, 73, 0}, {947, deed::expunge_stored, 4, 0, 81, 0},
                              {964, deed::append, 4, 0, 74, 0}, {1152, deed::replace_flags, 4, 0, 24, 0},
                              {1160, deed::expunge_stored, 4, 0, 62, 0}, {1170, deed::expunge_stored, 4, 0, 7, 0},
                              {1197, deed::conditional, 4, 0, 61, 0}, {1220, deed::expunge, 4, 0, 17, 0},
                              {1227, deed::replace_flags, 4, 0, 0, 0}, {1239, deed::conditional, 4, 0, 64, 0},
                              {1369, deed::replace_flags, 4, 0, 56, 0}, {1376, deed::deliver, 4, 0, 18, 0},
                              {1383, deed::expunge, 4, 0, 52, 0}, {1485, deed::append, 1, 0, 98, 0}, {1504, deed::expunge, 4, 0, 88, 0},
                              {1507, deed::replace_flags, 4, 0, 36, 0}, {1559, deed::append, 4, 0, 90, 0},
                              {1576, deed::deliver, 4, 0, 56, 0}, {1578, deed::append, 4, 0, 72, 0}, {1728, deed::expunge, 4, 0, 3, 0},
                              {1946, deed::replace_flags, 4, 0, 68, 0}, {1986, deed::expunge, 4, 0, 6, 0},
                              {2001, deed::add_flag, 4, 0, 55, 0}}),
                                 4, 2),
                     {2004, 11, 1000, 5000, 3268, 1048576})},
        {"what a lost master had ordered came back in a fold, and its callers did not hear of it",
         of(1084, 3, 9222, {{126, deed::crash, 1, 2, 38, 141}, {1075, deed::long_pause, 3, 2, 40, 6299}, {3724, deed::crash, 1, 2, 48, 300},
                            {6466, deed::crash, 3, 2, 51, 28}, {7466, deed::append, 2, 0, 8, 0}, {7519, deed::cut_one_way, 1, 3, 90, 510},
                            {7654, deed::crash, 2, 1, 37, 368}, {8748, deed::pause, 1, 3, 94, 317}, {8825, deed::conditional, 2, 0, 46, 0},
                            {9060, deed::answer_lost, 2, 3, 3482365699, 453}})},
        {"a node whose disk had no room for the state that it was given went on with its own, and told nobody that it has one",
         of(200310758, 4, 2128, {{377, deed::stall, 1, 4, 95, 841}, {379, deed::append, 2, 0, 83, 0}, {497, deed::stall, 1, 2, 41, 905},
                                 {520, deed::crash_in_step, 1, 2, 24, 532}, {525, deed::remove_keyword, 2, 0, 55, 0}, {531, deed::disk_full, 3, 2, 82, 1690},
                                 {532, deed::add_flag, 2, 0, 60, 0}, {534, deed::add_flag, 2, 0, 12, 0}, {1849, deed::pause, 2, 3, 17, 586}})},
        {"a master that handed over did not count its heir, which had left it to take over, and acknowledged what was on its own disk alone",
         with_tuning(with_clocks(with_copies(of(300184927, 2, 1393,
                                                {{589, deed::append, 2, 0, 13, 0}, {798, deed::remove_flag, 2, 0, 40, 0}, {808, deed::remove_flag, 2, 0, 78, 0},
                                                 {985, deed::conditional, 2, 0, 2, 0}, {995, deed::append, 1, 0, 69, 0}, {1005, deed::add_keyword, 2, 0, 14, 0},
                                                 {1097, deed::remove_keyword, 2, 0, 35, 0}, {1097, deed::remove_flag, 1, 0, 63, 0},
                                                 {1167, deed::append, 2, 0, 33, 0}, {1282, deed::remove_keyword, 2, 0, 62, 0},
                                                 {1311, deed::remove_flag, 2, 0, 73, 0}, {1347, deed::add_keyword, 2, 0, 70, 0},
                                                 {1378, deed::append, 2, 0, 75, 0}, {1392, deed::expunge_stored, 1, 0, 46, 0}}),
                                             2, 2),
                                 0, 10000),
                     {1399, 5, 179, 5000, 5669, 284})},
        {"two masters ordered one change, one of them behind another with a greater stamp, and in the fold it came back though a later change had replaced it",
         with_clocks(with_copies(of(300694744, 4, 7056,
                                    {{784, deed::append_stored, 4, 0, 30, 0}, {933, deed::append, 1, 0, 6, 0}, {970, deed::add_keyword, 2, 0, 3608647510, 0},
                                     {999, deed::long_pause, 1, 4, 75, 1396}, {1012, deed::remove_keyword, 3, 0, 2397503294, 0},
                                     {1121, deed::add_keyword, 2, 0, 2802685268, 0}, {1300, deed::expunge_stored, 2, 0, 3, 0},
                                     {1304, deed::long_pause, 3, 1, 13, 1784}, {2232, deed::remove_keyword, 2, 0, 2462578951, 0}}),
                                 2, 2),
                     2000, 0)},
        {"the ends of a line of five nodes were too far from each other to follow one master, and opened an epoch each every few milliseconds",
         with_copies(of(300883102, 5, 28824,
                        {{1000, deed::cut_one_way, 2, 4, 85, 7788}, {1272, deed::cut_one_way, 4, 1, 66, 5484}, {2272, deed::cut_one_way, 1, 2, 37, 6027},
                         {2388, deed::cut_one_way, 5, 1, 59, 4750}, {2961, deed::cut_one_way, 3, 5, 58, 6965}, {3740, deed::append, 1, 0, 49, 0},
                         {4740, deed::cut_one_way, 2, 3, 25, 2673}}),
                     2, 2)},
    };
}

}  // namespace mailfs::sim
