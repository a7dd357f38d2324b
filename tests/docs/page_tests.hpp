// SPDX-License-Identifier: MIT
// What the blocks of C++ in the documentation may use: all headers that a program may want.
#pragma once

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "docs/workplace.hpp"
#include "rwkv/convert.hpp"
#include "rwkv/convert/calibrate.hpp"
#include "rwkv/convert/report_quality.hpp"
#include "rwkv/embed.hpp"
#include "rwkv/eval.hpp"
#include "rwkv/io/write.hpp"
#include "rwkv/rwkv.hpp"
#include "support/count_allocations.hpp"
#include "support/support.hpp"
