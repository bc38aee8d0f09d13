/* Counts the primes up to a limit by a segmented sieve; prints how many there are, the largest, and their sum modulo
 * 2^64.  Usage: primes LIMIT */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 1 << 15 };

static uint32_t root_of(uint64_t limit)
{
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= limit)
            root += bit;
    return (uint32_t)root;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    uint64_t limit = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
    if (argc != 2 || *end || limit < 2 || limit > UINT64_C(10000000000)) {
        fputs("usage: primes LIMIT (2 to 10000000000)\n", stderr);
        return 2;
    }
    uint32_t root = root_of(limit), known = 0;
    char *small = calloc((size_t)root + 1, 1);
    uint32_t *primes = malloc(((size_t)root + 1) * sizeof *primes);
    uint64_t *next = malloc(((size_t)root + 1) * sizeof *next);
    static char composite[SEGMENT];
    if (!small || !primes || !next) {
        fputs("primes: out of memory\n", stderr);
        return 1;
    }
    for (uint64_t n = 2; n <= root; n++) {
        if (small[n])
            continue;
        primes[known] = (uint32_t)n;
        next[known++] = n * n;
        for (uint64_t m = n * n; m <= root; m += n)
            small[m] = 1;
    }
    uint64_t found = 0, largest = 0, sum = 0;
    for (uint64_t low = 2; low <= limit; low += SEGMENT) {
        uint64_t high = limit - low < SEGMENT ? limit + 1 : low + SEGMENT;
        memset(composite, 0, SEGMENT);
        for (uint32_t i = 0; i < known; i++) {
            uint64_t m = next[i];
            for (; m < high; m += primes[i])
                composite[m - low] = 1;
            next[i] = m;
        }
        for (uint64_t n = low; n < high; n++) {
            if (!composite[n - low]) {
                found++;
                largest = n;
                sum += n;
            }
        }
    }
    printf("primes up to %llu: %llu\nlargest: %llu\nsum modulo 2^64: %llu\n", (unsigned long long)limit,
           (unsigned long long)found, (unsigned long long)largest, (unsigned long long)sum);
    return fflush(stdout) == 0 ? 0 : 1;
}
