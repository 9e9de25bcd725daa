"""CLIP's byte-level BPE, and a trainer for small vocabularies of the same format.

A merges file is UTF-8 text, gzipped where its name ends in .gz: a version line, then one merge a
line, two symbols separated by a space, the earliest learned first. A symbol is made of characters
that each stand for one byte; `</w>` ends a word.

Source: openai/CLIP clip/simple_tokenizer.py and clip/clip.py `tokenize`.
"""

from __future__ import annotations

import gzip
import html
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import ftfy
import numpy as np
import regex

from unidet.errors import HEAD, UserError, other_kind

Merge = tuple[str, str]

CLIP_MERGES = 48_894
"""Merges that CLIP uses of its file's 262,144."""

_HEADER = "#version: 0.2"
_END = "</w>"
_START_OF_TEXT, _END_OF_TEXT = "<|startoftext|>", "<|endoftext|>"
_WORDS = regex.compile(
    r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"""
    r"""|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""",
    regex.IGNORECASE,
)


def _byte_symbols() -> list[str]:
    """A printable character for each byte, in the order of CLIP's vocabulary.

    Printable Latin-1 bytes come first as themselves; the others, ascending, follow as U+0100 on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def _byte_encoder() -> dict[int, str]:
    symbols = _byte_symbols()
    printable = {ord(symbol): symbol for symbol in symbols if ord(symbol) < 256}
    others = (byte for byte in range(256) if byte not in printable)
    return printable | dict(zip(others, symbols[len(printable) :], strict=True))


_BYTE_ENCODER = _byte_encoder()
_GZIP = b"\x1f\x8b"


def read_merges(path: Path) -> list[Merge]:
    """Merges of a file, at most the `CLIP_MERGES` that CLIP itself uses.

    Raises:
        UserError: the file cannot be read or a line is not two symbols.
    """
    try:
        content = path.read_bytes()
        is_packed = path.suffix == ".gz" and content.startswith(_GZIP)
        if not is_packed and (reason := other_kind(content[:HEAD])):
            raise UserError(f"{path}: {reason}")
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        lines = content.decode("utf-8").split("\n")[1 : CLIP_MERGES + 1]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable BPE merges file ({error})") from None
    merges = [tuple(line.split()) for line in lines if line]
    for number, merge in enumerate(merges, start=2):
        if len(merge) != 2:
            raise UserError(f"{path}: line {number} is not two symbols separated by a space")
    return merges  # type: ignore[return-value]


def write_merges(path: Path, merges: Sequence[Merge]) -> None:
    """Write a file that `read_merges` reads."""
    lines = [_HEADER, *(" ".join(merge) for merge in merges)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@lru_cache(maxsize=2**16)  # captions repeat, and cleaning takes longer than all the rest
def split_words(text: str) -> tuple[str, ...]:
    """Words of a text after CLIP's cleaning, each as byte symbols without the end-of-word mark."""
    cleaned = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    cleaned = regex.sub(r"\s+", " ", cleaned).strip().lower()
    return tuple(
        "".join(_BYTE_ENCODER[byte] for byte in word.encode("utf-8"))
        for word in _WORDS.findall(cleaned)
    )


def _symbols(word: str) -> list[str]:
    return [*word[:-1], word[-1] + _END]


def _merged(symbols: list[str], pair: Merge) -> list[str]:
    """`symbols` with every occurrence of the pair, from the left, made into one symbol."""
    merged = []
    position = 0
    while position < len(symbols):
        if tuple(symbols[position : position + 2]) == pair:
            merged.append(pair[0] + pair[1])
            position += 2
        else:
            merged.append(symbols[position])
            position += 1
    return merged


def learn_merges(captions: Iterable[str], count: int) -> list[Merge]:
    """Up to `count` merges of the most frequent pairs; fewer once no pair occurs twice.

    Ties go to the pair that sorts first, so the result depends on the captions' content alone.
    """
    words = Counter(word for caption in captions for word in split_words(caption))
    spellings = {word: _symbols(word) for word in words}
    merges: list[Merge] = []
    while len(merges) < count:
        pairs: Counter[Merge] = Counter()
        for word, symbols in spellings.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        merges.append(best)
        spellings = {word: _merged(symbols, best) for word, symbols in spellings.items()}
    return merges


class Tokenizer:
    """Texts to rows of token numbers.

    Args:
        merges: from `read_merges` or `learn_merges`.
        context_length: tokens in a row, start and end marks included; CLIP has 77.

    Attributes:
        vocabulary_size: 512 byte symbols + merges + 2 marks; the end mark is the highest number.
    """

    def __init__(self, merges: Sequence[Merge], context_length: int = 77) -> None:
        symbols = _byte_symbols()
        vocabulary = [*symbols, *(symbol + _END for symbol in symbols)]
        vocabulary += ["".join(merge) for merge in merges]
        vocabulary += [_START_OF_TEXT, _END_OF_TEXT]
        self.context_length = context_length
        self.vocabulary_size = len(vocabulary)
        self._numbers = {symbol: number for number, symbol in enumerate(vocabulary)}
        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        self._known = {mark: [self._numbers[mark]] for mark in (_START_OF_TEXT, _END_OF_TEXT)}

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, any length, without start and end marks."""
        return [number for word in split_words(text) for number in self._encode_word(word)]

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._known:
            symbols = _symbols(word)
            while len(symbols) > 1:
                pairs = pairwise(symbols)
                rank, best = min((self._ranks.get(pair, len(self._ranks)), pair) for pair in pairs)
                if rank == len(self._ranks):
                    break
                symbols = _merged(symbols, best)
            self._known[word] = [self._numbers[symbol] for symbol in symbols]
        return self._known[word]

    def __call__(self, texts: Sequence[str], truncate: bool = False) -> np.ndarray:
        """Rows (N, context_length) int32: start, tokens, end, then zeros.

        Raises:
            UserError: a text is too long and `truncate` is false; truncating keeps the end mark.
        """
        start, end = self._numbers[_START_OF_TEXT], self._numbers[_END_OF_TEXT]
        rows = np.zeros((len(texts), self.context_length), np.int32)
        for row, text in zip(rows, texts, strict=True):
            tokens = [start, *self.encode(text), end]
            if len(tokens) > self.context_length:
                if not truncate:
                    raise UserError(
                        f"text {text[:60]!r} has {len(tokens)} tokens with its marks, at most "
                        f"{self.context_length} fit; shorten it, or cut it with "
                        "clip_embeddings.truncate=true"
                    )
                tokens = [*tokens[: self.context_length - 1], end]
            row[: len(tokens)] = tokens
        return rows
