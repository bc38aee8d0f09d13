/* A cow says the message, as the classic cowsay does: whitespace is folded, paragraphs (a line break followed by
 * white space) stay apart, lines have at most 39 characters, longer words are cut.  Usage: cowsay MESSAGE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 39 };

struct line {
    const char *text;
    size_t bytes;
    size_t width; /* characters */
};

static struct line *lines;
static size_t count, room;

static void add_line(const char *text, size_t bytes, size_t width)
{
    if (count == room) {
        room = room ? 2 * room : 16;
        lines = realloc(lines, room * sizeof *lines);
        if (!lines) {
            fputs("cowsay: out of memory\n", stderr);
            exit(1);
        }
    }
    lines[count++] = (struct line){text, bytes, width};
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Length in bytes of the character at `at`: a UTF-8 sequence counts as one. */
static size_t character(const char *at, const char *end)
{
    size_t n = 1;
    while (at + n < end && ((unsigned char)at[n] & 0xC0) == 0x80)
        n++;
    return n;
}

/* Wraps text whose words are separated by single spaces. */
static void wrap(const char *at, const char *end)
{
    while (at < end) {
        const char *cut = NULL, *here = at;
        size_t width = 0, width_at_cut = 0;
        while (here < end && width < COLUMNS) {
            if (*here == ' ') {
                cut = here;
                width_at_cut = width;
            }
            here += character(here, end);
            width++;
        }
        if (here == end || *here == ' ' || !cut) {
            add_line(at, (size_t)(here - at), width);
            at = here < end && *here == ' ' ? here + 1 : here;
        } else {
            add_line(at, (size_t)(cut - at), width_at_cut);
            at = cut + 1;
        }
    }
}

/* Folds one paragraph in place and wraps it. */
static void paragraph(char *start, char *end)
{
    char *out = start;
    for (char *in = start; in < end; in++) {
        if (!is_space(*in))
            *out++ = *in;
        else if (out > start && out[-1] != ' ')
            *out++ = ' ';
    }
    if (out > start && out[-1] == ' ')
        out--;
    wrap(start, out);
}

static void split(char *text)
{
    char *start = text, *at = text, *end = text + strlen(text);
    int first = 1;
    for (;;) {
        while (at < end && !(*at == '\n' && at + 1 < end && is_space(at[1])))
            at++;
        size_t before = count;
        if (!first)
            add_line("", 0, 0);
        size_t separator = count;
        paragraph(start, at);
        if (count == separator && !first)
            count = before; /* an empty paragraph at the end leaves no blank line */
        if (count > 0)
            first = 0;
        if (at == end)
            break;
        while (at < end && is_space(*at))
            at++;
        start = at;
    }
    if (count == 0)
        add_line("", 0, 0);
}

static void rule(char c, size_t width)
{
    putchar(' ');
    for (size_t i = 0; i < width + 2; i++)
        putchar(c);
    puts(" ");
}

static void balloon(void)
{
    size_t widest = 0;
    for (size_t i = 0; i < count; i++)
        if (lines[i].width > widest)
            widest = lines[i].width;
    rule('_', widest);
    for (size_t i = 0; i < count; i++) {
        const char *edge = count == 1 ? "<>" : i == 0 ? "/\\" : i + 1 == count ? "\\/" : "||";
        printf("%c ", edge[0]);
        fwrite(lines[i].text, 1, lines[i].bytes, stdout);
        for (size_t pad = lines[i].width; pad < widest; pad++)
            putchar(' ');
        printf(" %c\n", edge[1]);
    }
    rule('-', widest);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: cowsay MESSAGE\n", stderr);
        return 2;
    }
    split(argv[1]);
    balloon();
    fputs("        \\   ^__^\n"
          "         \\  (oo)\\_______\n"
          "            (__)\\       )\\/\\\n"
          "                ||----w |\n"
          "                ||     ||\n",
          stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
