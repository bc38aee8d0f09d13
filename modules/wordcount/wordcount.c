/* Counts lines, words and bytes of every file in /inputs, as wc does, and writes them to /outputs/counts.json too.
 * The inputs document itself (inputs.json) is not counted.  Files come in byte order of their names. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counts {
    unsigned long long lines, words, bytes;
};

static int is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int count_file(const char *path, struct counts *found)
{
    static unsigned char buffer[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    setvbuf(file, NULL, _IONBF, 0);
    int inside = 0;
    size_t got;
    while ((got = fread(buffer, 1, sizeof buffer, file)) > 0) {
        found->bytes += got;
        for (size_t i = 0; i < got; i++) {
            int space = is_space(buffer[i]);
            found->lines += buffer[i] == '\n';
            found->words += !space && !inside;
            inside = !space;
        }
    }
    int failed = ferror(file);
    fclose(file);
    return failed ? -1 : 0;
}

static void put_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void put_counts(FILE *json, const struct counts *found)
{
    fprintf(json, "\"lines\":%llu,\"words\":%llu,\"bytes\":%llu}", found->lines, found->words, found->bytes);
}

static int fail(const char *what)
{
    fprintf(stderr, "wordcount: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(void)
{
    FILE *json = fopen("/outputs/counts.json", "wb");
    if (!json)
        return fail("/outputs/counts.json");
    DIR *folder = opendir("/inputs");
    if (!folder)
        return fail("/inputs");
    struct counts total = {0, 0, 0};
    struct dirent *entry;
    int files = 0;
    fputs("{\"files\":[", json);
    while ((entry = readdir(folder))) {
        char path[4200];
        struct counts found = {0, 0, 0};
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "inputs.json") == 0)
            continue;
        snprintf(path, sizeof path, "/inputs/%s", entry->d_name);
        if (count_file(path, &found) != 0)
            return fail(path);
        printf("%7llu %7llu %7llu %s\n", found.lines, found.words, found.bytes, entry->d_name);
        fputs(files++ ? ",{\"name\":" : "{\"name\":", json);
        put_text(json, entry->d_name);
        fputc(',', json);
        put_counts(json, &found);
        total.lines += found.lines;
        total.words += found.words;
        total.bytes += found.bytes;
    }
    closedir(folder);
    printf("%7llu %7llu %7llu total\n", total.lines, total.words, total.bytes);
    fputs("],\"total\":{", json);
    put_counts(json, &total);
    fputs("}\n", json);
    if (fclose(json) != 0 || fflush(stdout) != 0)
        return fail("writing");
    return 0;
}
