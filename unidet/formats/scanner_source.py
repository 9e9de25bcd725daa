"""C++ source of the scanner of JSON records (see scanner.py).

It takes what is plainly right and gives up at anything else: what is odd, or no JSON, is Python's
to read or to refuse. The text is ASCII and ends with a zero byte, which ends every loop.
"""

from __future__ import annotations

SOURCE = r"""
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

enum Kind { PASSED_OVER, WHOLE, NUMBER, BOX, FLAG };

struct Field {
    const char* key;
    int64_t length;
    void* values;
    int64_t kind;
};

struct Number {
    double value;
    int64_t whole;
    bool is_whole;
};

const double LARGEST = 0x1p63;
const int DEEPEST = 100, DIGITS = 18, LONGEST = 300;
// Of these, and of whole numbers up to 2^53, a quotient is rounded once: it is the number written.
const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
                         1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

bool is_hexadecimal(char c) {
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

// The double next to a number that is JSON.
bool nearest(const char* from, const char* to, double& value) {
#ifdef __cpp_lib_to_chars
    const auto done = std::from_chars(from, to, value);
    return done.ec == std::errc() && done.ptr == to;
#else
    char* end;
    value = strtod(from, &end);
    return end == to;
#endif
}

struct Scanner {
    const char* at;
    const char* end;

    void space() {
        while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') ++at;
    }

    bool take(char c) {
        if (*at != c) space();
        if (*at != c) return false;
        ++at;
        return true;
    }

    bool word(const char* letters) {
        const int64_t length = strlen(letters);
        if (end - at < length || memcmp(at, letters, length)) return false;
        at += length;
        return true;
    }

    // Digits, of which the value matters where they are few.
    int64_t digits(uint64_t& value) {
        const char* start = at;
        while (is_digit(*at)) value = value * 10 + (*at++ - '0');
        return at - start;
    }

    // A number of JSON; `most` digits before its point.
    bool number(Number& out, int64_t most) {
        const char* start = at;
        const bool negative = *at == '-';
        at += negative;
        const char first = *at;
        uint64_t value = 0;
        const int64_t count = digits(value);
        if (!count || count > most || (first == '0' && count > 1)) return false;
        out.is_whole = *at != '.' && *at != 'e' && *at != 'E';
        if (out.is_whole) {
            out.whole = negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
            out.value = static_cast<double>(out.whole);
            return true;
        }
        int64_t decimals = 0;
        if (*at == '.') {
            ++at;
            decimals = digits(value);
            if (!decimals) return false;
        }
        if (*at == 'e' || *at == 'E') {
            ++at;
            at += *at == '+' || *at == '-';
            if (!digits(value)) return false;
        } else if (count + decimals <= DIGITS && value <= 1ull << 53) {
            out.value = (negative ? -1.0 : 1.0) * static_cast<double>(value) / POWERS[decimals];
            return true;
        }
        return most > DIGITS || nearest(start, at, out.value);
    }

    bool finite(double& value) {
        Number out;
        space();
        if (!number(out, DIGITS)) return false;
        value = out.value;
        return std::fabs(value) < LARGEST;
    }

    // The rest of a text behind its quotation mark.
    bool text() {
        for (;;) {
            const unsigned char c = *at++;
            if (c == '"') return true;
            if (c < ' ') return false;
            if (c != '\\') continue;
            const char escaped = *at++;
            if (!escaped) return false;
            if (escaped == 'u') {
                for (int i = 0; i < 4; ++i)
                    if (!is_hexadecimal(*at++)) return false;
            } else if (!strchr("\"\\/bfnrt", escaped)) {
                return false;
            }
        }
    }

    bool pass_over(int depth = 0) {
        Number out;
        space();
        switch (*at) {
        case '"': ++at; return text();
        case 't': return word("true");
        case 'f': return word("false");
        case 'n': return word("null");
        case '[':
        case '{': break;
        default: return number(out, LONGEST);
        }
        if (depth == DEEPEST) return false;
        const bool is_object = *at++ == '{';
        const char closing = is_object ? '}' : ']';
        if (take(closing)) return true;
        do {
            if (is_object && !(take('"') && text() && take(':'))) return false;
            if (!pass_over(depth + 1)) return false;
        } while (take(','));
        return take(closing);
    }

    bool whole(int64_t& value) {
        Number out;
        space();
        if (!number(out, DIGITS) || !out.is_whole) return false;
        value = out.whole;
        return true;
    }

    bool box(double* sides) {
        if (!take('[')) return false;
        for (int i = 0; i < 4; ++i)
            if ((i && !take(',')) || !finite(sides[i])) return false;
        return take(']') && sides[2] >= 0 && sides[3] >= 0;
    }

    // The bits TRUE and NULL of columns.py.
    bool flag(int8_t& bits) {
        int64_t value = 0;
        space();
        if (word("null")) bits = 4;
        else if (word("true")) bits = 1;
        else if (word("false")) bits = 0;
        else if (!whole(value) || (value != 0 && value != 1)) return false;
        else bits = static_cast<int8_t>(value);
        return true;
    }

    bool value(const Field& field, int64_t row) {
        switch (field.kind) {
        case WHOLE: return whole(static_cast<int64_t*>(field.values)[row]);
        case NUMBER: return finite(static_cast<double*>(field.values)[row]);
        case BOX: return box(static_cast<double*>(field.values) + 4 * row);
        case FLAG: return flag(static_cast<int8_t*>(field.values)[row]);
        default: return pass_over();
        }
    }

    // The field whose key stands here, most likely the `expected`; -1 for none.
    int key(const Field* fields, int count, int expected) {
        for (int tried = 0; tried < count; ++tried) {
            const int place = (expected + tried) % count;
            const Field& field = fields[place];
            if (end - at > field.length && at[field.length] == '"'
                && !memcmp(at, field.key, field.length)) {
                at += field.length + 1;
                return place;
            }
        }
        return -1;
    }

    // An object of known keys, which has those of `wanted` once.
    bool record(const Field* fields, int count, uint64_t wanted, int64_t row) {
        uint64_t met = 0;
        int place = -1;
        if (!take('{')) return false;
        do {
            if (!take('"')) return false;
            place = key(fields, count, place + 1);
            if (place < 0 || (met & wanted & 1ull << place)) return false;
            met |= 1ull << place;
            if (!take(':') || !value(fields[place], row)) return false;
        } while (take(','));
        return take('}') && (met & wanted) == wanted;
    }
};

}  // namespace

extern "C" {

// Where the keys of the object at the text's start begin and end; how many, -1 for others.
int64_t unidet_keys(const char* text, int64_t length, int64_t* ends, int64_t most) {
    Scanner scanner{text, text + length};
    int64_t count = 0;
    if (!scanner.take('{')) return -1;
    do {
        if (count == most || !scanner.take('"')) return -1;
        ends[2 * count] = scanner.at - text;
        if (!scanner.text()) return -1;
        ends[2 * count + 1] = scanner.at - 1 - text;
        ++count;
        if (!scanner.take(':') || !scanner.pass_over()) return -1;
    } while (scanner.take(','));
    return scanner.take('}') ? count : -1;
}

// Records up to the text's end, or to what follows the list; how many, -1 for others. `passed`
// gets the length of what was read.
int64_t unidet_scan(const char* text, int64_t length, const Field* fields, int count,
                    int64_t most, int64_t* passed) {
    Scanner scanner{text, text + length};
    uint64_t wanted = 0;
    for (int i = 0; i < count; ++i)
        if (fields[i].kind != PASSED_OVER) wanted |= 1ull << i;
    int64_t row = 0;
    do {
        if (row == most || !scanner.record(fields, count, wanted, row)) return -1;
        ++row;
        *passed = scanner.at - text;
    } while (scanner.take(','));
    scanner.space();
    return scanner.at == scanner.end || *scanner.at == ']' ? row : -1;
}

}
"""
