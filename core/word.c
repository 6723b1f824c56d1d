/* word.c: which known word did somebody mean?

   Edit distance with transpositions of neighbours (optimal string alignment), blind to case and to
   the difference between - and _. A word is near when no more than a third of its letters
   have to change (one, for a short word). */
#include "core/config.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum { WORD_MAX = 64 };

static int word_fold(char c) { return c == '-' ? '_' : tolower((unsigned char)c); }

static int word_min(int a, int b) { return a < b ? a : b; }

static int word_distance(const char *a, int n, const char *b, int m) {
    int row[3][WORD_MAX + 1]; /* distances of a[0..i-2], a[0..i-1], a[0..i] to b[0..j] */
    int *before = row[0], *above = row[1], *here = row[2];
    for (int j = 0; j <= m; j++) above[j] = j;
    for (int i = 1; i <= n; i++) {
        here[0] = i;
        for (int j = 1; j <= m; j++) {
            int x = word_fold(a[i - 1]), y = word_fold(b[j - 1]);
            int d = word_min(above[j - 1] + (x != y), 1 + word_min(above[j], here[j - 1]));
            if (i > 1 && j > 1 && x == word_fold(b[j - 2]) && word_fold(a[i - 2]) == y)
                d = word_min(d, before[j - 2] + 1);
            here[j] = d;
        }
        int *oldest = before;
        before = above;
        above = here;
        here = oldest;
    }
    return above[m];
}

const char *lode_nearest_word(const char *s, const char *const *words, int n) {
    const char *nearest = NULL;
    size_t length = strlen(s);
    int limit = length < 6 ? 1 : (int)(length / 3), best = limit + 1;
    if (length == 0 || length > WORD_MAX) return NULL;
    for (int i = 0; i < n; i++) {
        size_t m = strlen(words[i]);
        if (m > WORD_MAX) continue;
        int d = word_distance(s, (int)length, words[i], (int)m);
        if (d < best && d < (int)m) { /* a word of other letters altogether is not near */
            best = d;
            nearest = words[i];
        }
    }
    return nearest;
}
