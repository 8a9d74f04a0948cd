/* replay: runs a fuzzer's entry point over stored inputs without libFuzzer, so that plain gcc and
 * `make check` can. Arguments are files and directories (not followed further down); it prints how many
 * inputs ran and fails when there were none, for then it proved nothing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MOST ((size_t)16 * 1024 * 1024) /* bytes of one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

/* The input's copy is exactly as long as it is, so that a read past its end shows under ASan. 1: ran. */
static int run_file(const char *path) {
  struct stat st;
  FILE *f = fopen(path, "rb");
  uint8_t *data = NULL;
  int ok = f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size <= MOST;
  if (ok) {
    size_t len = (size_t)st.st_size;
    data = malloc(len ? len : 1);
    ok = data && fread(data, 1, len, f) == len;
    if (ok) LLVMFuzzerTestOneInput(data, len);
  }
  if (!ok) fprintf(stderr, "replay: cannot read %s\n", path);
  free(data);
  if (f) fclose(f);
  return ok;
}

/* How many ran; negative when one could not be read. */
static long run_dir(const char *path, DIR *d) {
  char name[4096];
  long n = 0;
  struct dirent *e;
  while ((e = readdir(d)) != NULL) {
    if (e->d_name[0] == '.') continue;
    int len = snprintf(name, sizeof name, "%s/%s", path, e->d_name);
    if (len < 0 || (size_t)len >= sizeof name || !run_file(name)) return -1;
    n++;
  }
  return n;
}

int main(int argc, char **argv) {
  long total = 0;
  if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
  for (int i = 1; i < argc; i++) {
    DIR *d = opendir(argv[i]);
    long n = d ? run_dir(argv[i], d) : run_file(argv[i]) ? 1 : -1;
    if (d) closedir(d);
    if (n < 0) return 1;
    total += n;
  }
  printf("%ld inputs\n", total);
  return total == 0;
}
