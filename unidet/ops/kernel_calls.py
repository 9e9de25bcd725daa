"""C++ source with which all kernels are called alike, alone or one after the other.

A kernel is a function of arrays and numbers. Each is exported as `unidet_NAME(arrays, numbers)`,
which hands out the arguments in their order: arrays from the one list, numbers from the other. It
is compiled after all other sources in one file.
"""

from __future__ import annotations

_SOURCE = r"""
namespace {

// The next argument of a kernel, by its type.
struct Arguments {
    void* const* arrays;
    const double* numbers;
    int convolution[10];  // the numbers of a convolution, which are one argument

    template <class T> T next(T*) { return (T)*numbers++; }
    float* next(float**) { return (float*)*arrays++; }
    const float* next(const float**) { return (const float*)*arrays++; }
    const int* next(const int**) {
        std::copy(numbers, numbers + 10, convolution);
        numbers += 10;
        return convolution;
    }
};

template <class... Types, std::size_t... Places>
void call(void (*kernel)(Types...), const std::tuple<Types...>& taken,
          std::index_sequence<Places...>) {
    kernel(std::get<Places>(taken)...);
}

template <class... Types>
void call(void (*kernel)(Types...), void* const* arrays, const double* numbers) {
    Arguments from{arrays, numbers, {}};
    const std::tuple<Types...> taken{from.next((Types*)nullptr)...};  // braces: in this order
    call(kernel, taken, std::index_sequence_for<Types...>{});
}

struct Call {
    void (*kernel)(void* const*, const double*);
    void* const* arrays;
    const double* numbers;
};

}  // namespace

extern "C" void unidet_call_all(const Call* calls, int count) {
    for (int i = 0; i < count; i++) calls[i].kernel(calls[i].arrays, calls[i].numbers);
}
"""


def exported(kernels: tuple[str, ...]) -> str:
    """Source that exports these functions, and `unidet_call_all`."""
    return _SOURCE + "".join(
        f'extern "C" {declared(name)} {{ call({name}, arrays, numbers); }}\n' for name in kernels
    )


def declared(kernel: str) -> str:
    """Its exported function's declaration."""
    return f"void unidet_{kernel}(void* const* arrays, const double* numbers)"


def calling(kernel: str, arrays: list[str], numbers: list[str]) -> str:
    """Source of a call with these expressions."""
    return (
        f"void* const arrays[] = {{{', '.join(arrays)}}};\n"
        f"const double numbers[] = {{{', '.join([*numbers, '0'])}}};\n"
        f"unidet_{kernel}(arrays, numbers);"
    )
