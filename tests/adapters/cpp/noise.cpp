// A shared library that prints before main, as those of frameworks do.
#include <cstdio>

__attribute__((constructor)) static void print() {
    std::puts("noise of a library");
    std::fflush(stdout);
}
