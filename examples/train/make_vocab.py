#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a vocabulary from a text, in the file format of RWKV's World vocabulary: `id literal length` a line, id 0 left to
the end of a text, ids 1 to 256 the bytes, then pieces. An encoder takes the longest token that matches, so the pieces are
chosen for that: byte pairs are merged within words as for byte-pair encoding, then pieces that the longest match hardly
ever takes give way to the next ones, a few times over.

    make_vocab.py --text tales.train.txt.gz --size 2048 --out fairy-tales.vocab"""
import argparse
import collections
import gzip
import heapq
import re

# A piece stays within one of these: a word with the space before it, marks, or white space.
WORD = re.compile(rb" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+")


def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        return file.read()


def merge_pairs(words, n_pieces):
    """The pieces of byte-pair encoding (Sennrich, Haddow and Birch 2016), most useful first. words: {bytes: count}."""
    splits = [[[bytes([byte]) for byte in word], count] for word, count in words.items()]
    counts, places = collections.Counter(), collections.defaultdict(set)
    for number, (parts, count) in enumerate(splits):
        for pair in zip(parts, parts[1:]):
            counts[pair] += count
            places[pair].add(number)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    pieces = []
    while queue and len(pieces) < n_pieces:
        count, pair = heapq.heappop(queue)
        if counts[pair] != -count:  # an entry from before a merge
            if counts[pair] > 0:
                heapq.heappush(queue, (-counts[pair], pair))
            continue
        pieces.append(pair[0] + pair[1])
        changed = set()
        for number in list(places[pair]):
            parts, n = splits[number]
            for old in zip(parts, parts[1:]):
                counts[old] -= n
                changed.add(old)
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == pair:
                    parts[i:i + 2] = [pair[0] + pair[1]]
                i += 1
            for new in zip(parts, parts[1:]):
                counts[new] += n
                places[new].add(number)
                changed.add(new)
        for old in changed:
            if counts[old] > 0:
                heapq.heappush(queue, (-counts[old], old))
    return list(dict.fromkeys(pieces))


def longest_match(word, pieces, longest):
    tokens, at = [], 0
    while at < len(word):
        length = next(n for n in range(min(longest, len(word) - at), 0, -1) if n == 1 or word[at:at + n] in pieces)
        tokens.append(word[at:at + length])
        at += length
    return tokens


def choose(words, n_pieces):
    candidates = merge_pairs(words, 2 * n_pieces)
    chosen, waiting = candidates[:n_pieces], candidates[n_pieces:]
    for _ in range(6):
        pieces, longest = set(chosen), max(map(len, chosen))
        used = collections.Counter()
        for word, count in words.items():
            for token in longest_match(word, pieces, longest):
                used[token] += count * (len(token) - 1)  # tokens saved against bytes
        chosen.sort(key=lambda piece: -used[piece])
        n_out = max(1, len(chosen) // 20)
        chosen, waiting = chosen[:-n_out] + waiting[:n_out], waiting[n_out:]
    return sorted(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="plain or .gz")
    parser.add_argument("--size", type=int, default=2048, help="tokens, those of bytes and the end of a text included")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    words = collections.Counter(WORD.findall(read(options.text)))
    pieces = choose(words, options.size - 257)
    with open(options.out, "w", encoding="ascii") as file:
        for number, token in enumerate([bytes([byte]) for byte in range(256)] + pieces, start=1):
            literal = repr(token.decode("ascii")) if max(token) < 128 else repr(token)
            file.write(f"{number} {literal} {len(token)}\n")
    longest = max(map(len, pieces))
    n_tokens = sum(count * len(longest_match(word, set(pieces), longest)) for word, count in words.items())
    n_bytes = sum(count * len(word) for word, count in words.items())
    print(f"{len(pieces) + 257} tokens, {n_bytes / n_tokens:.2f} bytes of the text each")


if __name__ == "__main__":
    main()
