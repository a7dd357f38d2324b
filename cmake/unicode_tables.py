#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes include/rwkv/text/unicode_tables.hpp from the Unicode Character Database.

    python3 cmake/unicode_tables.py FOLDER

FOLDER holds UnicodeData.txt, DerivedAge.txt and CompositionExclusions.txt of https://www.unicode.org/Public/16.0.0/ucd/.

The versions are those of the reference, Hugging Face tokenizers 0.22: its regular expressions (Oniguruma 6.9.10) know
Unicode 16.0, its normalisation (unicode-normalization-alignments 0.1.12) Unicode 9.0. The standard never changes the
normal form of a character it has, so the tables of 9.0 are those of a later version without the characters added since.
"""
import os
import sys

VERSION, NORMALISATION_VERSION = "16.0", "9.0"
HEADER = "include/rwkv/text/unicode_tables.hpp"
OTHER, LETTER, NUMBER, WHITE_SPACE = range(4)
WHITE_SPACES = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F,
                0x3000]


def read_fields(path):
    """The fields of each line, without comments."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    return [[field.strip() for field in line.split(";")] for line in lines if line]


def code_points(text):
    """"0041..005A" or "0041" as a range."""
    first, _, last = text.partition("..")
    return range(int(first, 16), int(last or first, 16) + 1)


def read_characters(folder):
    """By code point: general category, combining class, canonical decomposition."""
    characters, first = {}, None
    for fields in read_fields(os.path.join(folder, "UnicodeData.txt")):
        code_point, name, category, combining_class, decomposition = int(fields[0], 16), *fields[1:4], fields[5]
        parts = [] if decomposition.startswith("<") else [int(part, 16) for part in decomposition.split()]
        begin = first if name.endswith(", Last>") else code_point
        for c in range(begin, code_point + 1):
            characters[c] = (category, int(combining_class), parts)
        first = code_point
    return characters


def changes(values):
    """Where the value changes: code point << 8 | value, for a dictionary of those that are not 0."""
    entries, before = [], None
    for code_point in range(0x110001):
        value = values.get(code_point, 0)
        if value != before:
            entries.append(code_point << 8 | value)
        before = value
    return entries


def table(comment, declaration, items):
    lines, line = [f"/// {part}" for part in comment] + [f"inline constexpr {declaration}[] = {{"], "   "
    for item in items:
        if len(line) + len(item) + 2 > 120:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line, "};\n"])


def main():
    folder = sys.argv[1]
    characters = read_characters(folder)
    kinds = {c: LETTER if fields[0][0] == "L" else NUMBER for c, fields in characters.items() if fields[0][0] in "LN"}
    kinds.update(dict.fromkeys(WHITE_SPACES, WHITE_SPACE))

    age = {c: tuple(map(int, fields[1].split(".")))
           for fields in read_fields(os.path.join(folder, "DerivedAge.txt")) for c in code_points(fields[0])}
    newest = tuple(map(int, NORMALISATION_VERSION.split(".")))
    old = {c: fields for c, fields in characters.items() if age[c] <= newest}
    classes = {c: fields[1] for c, fields in old.items() if fields[1]}
    decompositions = [(c, *fields[2], 0)[:3] for c, fields in sorted(old.items()) if fields[2]]
    exclusions = read_fields(os.path.join(folder, "CompositionExclusions.txt"))
    excluded = {c for fields in exclusions for c in code_points(fields[0])}
    # Section 3.11 of the standard, full composition exclusion: also single characters and what begins with a mark.
    composed = [i for i, (c, first, second) in enumerate(decompositions)
                if second and c not in excluded and not classes.get(c) and not classes.get(first)]
    composed.sort(key=lambda i: decompositions[i][1:])

    with open(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), HEADER), "w") as file:
        file.write(f"""\
// SPDX-License-Identifier: MIT
// Facts about characters, made by cmake/unicode_tables.py from the Unicode Character Database: not to be edited.
// The database is copyright of Unicode, Inc., and under the Unicode License V3, https://www.unicode.org/license.txt.
#pragma once

#include <cstdint>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN
namespace detail {{

struct Decomposition {{
  std::uint32_t from, first, second;  ///< code points; no second: 0
}};

// clang-format off

""")
        file.write("\n".join([
            table(["Where the kind of characters changes: code point << 8 | kind, 0 other, 1 letter (general category",
                   f"L), 2 number (N), 3 white space (White_Space). Unicode {VERSION}."],
                  "std::uint32_t kind_changes", [hex(entry) for entry in changes(kinds)]),
            table(["Where the canonical combining class changes: code point << 8 | class. "
                   f"Unicode {NORMALISATION_VERSION}."],
                  "std::uint32_t combining_class_changes", [hex(entry) for entry in changes(classes)]),
            table([f"Canonical decompositions, without those of Hangul. Unicode {NORMALISATION_VERSION}."],
                  "Decomposition decompositions", ["{" + ", ".join(map(hex, entry)) + "}" for entry in decompositions]),
            table(["The decompositions that are undone by composition, in the order of first and second."],
                  "std::uint16_t compositions", [str(i) for i in composed]),
        ]))
        file.write("""
// clang-format on

}  // namespace detail
RWKV_NAMESPACE_END
""")


if __name__ == "__main__":
    main()
